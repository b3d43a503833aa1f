"""The JSON-RPC client of one chain with several endpoints: calls in, results out, ChainUnavailable if none answers.

It decides which endpoint to ask, when to believe its answer, and when to eject it. It does not interpret results.

Endpoints are asked in the order of `health.py`, mostly the configured one. An endpoint that fails is ejected for a
growing time. After each such pause it is asked for its chain id, until it answers again. If an endpoint is slow, the
next one is asked as well. If an answer is a fault and not the chain's answer (`jsonrpc.is_answer`), the next endpoint
is asked for that call, without ejecting the first one.

Calls that run a stranger's contract use separate connections and never change the health of an endpoint.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextvars import Context
from functools import partial

import aiohttp

from provider.chain.collected import Collected
from provider.chain.config import RpcConfig
from provider.chain.endpoint import Endpoint, EndpointFailed, EndpointState, parse_quantity
from provider.chain.health import EndpointHealth, behind, order, seconds_until_open, tell
from provider.chain.jsonrpc import RpcCall, RpcFault, is_answer, is_limit
from provider.chain.race import Won, first_answer
from provider.chain.submissions import Submissions
from provider.errors import ChainError, ChainUnavailable
from provider.observability.metrics.groups import Chains
from provider.outgoing.sessions import Outgoing

_CHAIN_ID = RpcCall("eth_chainId")
_BLOCK_NUMBER = RpcCall("eth_blockNumber")
_MAX_CONNECTIONS = 64
_MAX_FOREIGN_CONNECTIONS = 32
_KEEPALIVE_SECONDS = 30.0  # below the 60-75 s after which common front ends drop idle connections

_log = logging.getLogger(__name__)


class Rpc:
    """Pooled keep-alive JSON-RPC client of one chain with failover.

    urls: the endpoints, in order of preference.
    config: `timeout_seconds` limits one HTTP exchange with one endpoint. A call waits at most this times the number of
        endpoints, or twice that if a batch is refused late and its calls are sent singly.
    chain_id: the chain of every endpoint. None: not known yet; nothing is verified until `learn_chain_id`.
    metrics: None: nothing is counted.

    The first call opens the HTTP session, inside the running loop. Raises ValueError for an unusable URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        config: RpcConfig,
        *,
        chain_id: int | None,
        metrics: Chains | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        if not urls:
            raise ValueError("at least one RPC endpoint is needed")
        self._chain_id = chain_id
        self._config = config
        self._metrics = metrics or Chains(is_on=False)
        self._outgoing = outgoing or Outgoing()
        self._endpoints = [
            Endpoint(
                url,
                index=index,
                timeout_seconds=config.timeout_seconds,
                proxy=self._outgoing.proxy_of(url),
            )
            for index, url in enumerate(urls)
        ]
        self._submissions = Submissions(self)
        self._is_watched = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks: dict[int, asyncio.TimerHandle] = {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by: for foreign calls?
        self._closed = False
        self._begin_metrics()

    def _begin_metrics(self) -> None:
        for metric in (self._metrics.calls, self._metrics.hedges, self._metrics.heads):
            metric.begin(self._chain_id)
        for endpoint in self._endpoints:
            labels = (self._chain_id, endpoint.index + 1)
            self._metrics.failovers.begin(*labels)
            self._metrics.faults.begin(*labels)
            self._metrics.endpoint_up.follow(partial(_is_up, endpoint), *labels)

    def __repr__(self) -> str:
        return f"Rpc(chain_id={self._chain_id}, endpoints={len(self._endpoints)})"

    @property
    def chain_id(self) -> int | None:
        """The chain that every endpoint must serve; None if it is not known yet."""
        return self._chain_id

    @property
    def is_available(self) -> bool:
        """False while every endpoint is ejected."""
        return any(map(_is_up, self._endpoints))

    def endpoints_up(self) -> Mapping[int, bool]:
        """Return by position whether the endpoint is up, that is, not ejected."""
        return {endpoint.index: _is_up(endpoint) for endpoint in self._endpoints}

    async def batch(self, calls: Sequence[RpcCall], *, together: bool = True) -> list[object]:
        """Return the results in the order of `calls`, each a JSON value or an RpcFault, in one HTTP round trip.

        `together`: all results come from one endpoint. Otherwise each comes from the first endpoint that answers that
        call. The first answer of an endpoint is believed only with its chain id, which the same round trip asks for.
        Raises ChainUnavailable.
        """
        return await self._ask_in_turn(self._in_order(), calls, together=together) if calls else []

    async def elsewhere(self, calls: Sequence[RpcCall]) -> list[object] | None:
        """Ask as `batch` does, but not the first endpoint, whose node may not have seen something yet.

        Returns None if there is no other endpoint or none answers.
        """
        others = self._in_order()[1:]
        try:
            return await self._ask_in_turn(others, calls, together=True) if others else None
        except ChainUnavailable:
            return None

    def submit(self, call: RpcCall) -> asyncio.Future[object]:
        """Return a future of the result or RpcFault of `call`. All calls of one turn of the loop are sent in one batch.

        The future may raise ChainUnavailable. Cancelling it does not affect the others.
        """
        return self._submissions.submit(call)

    async def call(self, method: str, *params: object) -> object:
        """Return the result of one call. Raises ChainUnavailable, and ChainError if the node answers with an error."""
        (result,) = await self.batch([RpcCall(method, params)])
        if isinstance(result, RpcFault):
            raise ChainError(detail=f"{method}: code {result.code}: {result.message}")
        return result

    async def learn_chain_id(self) -> int:
        """Return the chain id of the first endpoint that answers. From then on, all endpoints must have it.

        Nothing is asked if the id is known. Raises ChainError.
        """
        if self._chain_id is None:
            try:
                self._chain_id = _parse_chain_id(await self.call("eth_chainId"))
            except EndpointFailed as failure:
                raise ChainError(detail=f"eth_chainId: {failure}") from None
            for endpoint in self._endpoints:
                endpoint.health.verified = False
        return self._chain_id

    async def probe(self) -> list[EndpointState]:
        """Ask every endpoint for its state, all at once. Their health does not change."""
        return list(await asyncio.gather(*map(self._probe, self._endpoints)))

    def healths(self) -> list[EndpointHealth]:
        """Return what is known of every endpoint, without asking."""
        now = asyncio.get_running_loop().time()
        return [tell(endpoint.index, endpoint.health, now) for endpoint in self._endpoints]

    def watch(self) -> None:
        """Compare the heights of all endpoints from now on. An endpoint that is too far behind is asked last.

        A single endpoint would be asked in any case, so only `look` checks its height.
        """
        self._is_watched = True
        if len(self._endpoints) > 1 and self._config.watch_seconds:
            self.start(self._look_every(self._config.watch_seconds))

    async def look(self) -> None:
        """Ask every endpoint that is not ejected for its height. Does nothing before `watch`."""
        if not self._is_watched or self._closed:
            return
        await asyncio.gather(*map(self._look_at, self._endpoints))
        heights = {
            endpoint: endpoint.health.height
            for endpoint in self._endpoints
            if endpoint.health.height is not None and _is_up(endpoint)
        }
        late = behind(heights, self._config.max_lag_blocks)
        for endpoint in self._endpoints:
            if (endpoint in late) != endpoint.health.behind:
                endpoint.health.behind = endpoint in late
                told = "fell behind the others" if endpoint in late else "is level again"
                _log.warning("chain %s endpoint %d %s", self._chain_id, endpoint.index + 1, told)

    def start(self, work: Awaitable[None]) -> None:
        """Run `work` in the background, until `close` at the latest."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End background work and close the connections. Later calls raise ChainUnavailable."""
        self._closed = True
        for check in self._checks.values():
            check.cancel()
        self._checks.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for session in self._sessions.values():
            await session.close()

    async def _look_every(self, seconds: float) -> None:
        while True:
            await self.look()
            await asyncio.sleep(seconds)

    async def _look_at(self, endpoint: Endpoint) -> None:
        if asyncio.get_running_loop().time() < endpoint.health.ejected_until:
            return
        try:
            (result,) = await self._ask(endpoint, [_BLOCK_NUMBER])
            height = parse_quantity(result, _BLOCK_NUMBER.method)
        except (EndpointFailed, ChainUnavailable):
            endpoint.health.height = None
        else:
            endpoint.health.height = height
            self._metrics.endpoint_block.set(height, self._chain_id, endpoint.index + 1)

    def _in_order(self) -> list[Endpoint]:
        """Return the endpoints in the order to ask them: nobody waits for a doubtful one while another is healthy."""
        now = asyncio.get_running_loop().time()
        return order(((endpoint, endpoint.health) for endpoint in self._endpoints), now)

    async def _ask_in_turn(
        self, endpoints: Sequence[Endpoint], calls: Sequence[RpcCall], *, together: bool
    ) -> list[object]:
        """Ask one endpoint after another until all calls are answered. Slow ones, faults and failures lead to the next.

        `together`: all results must come from one endpoint. A call that none answers has the last one's fault.
        Raises ChainUnavailable.
        """
        problems: list[str] = []
        collected: Collected[Endpoint] = Collected(calls, together=together)

        async def ask(endpoint: Endpoint) -> None:
            positions = collected.wanted()
            results = await self._ask(endpoint, [calls[position] for position in positions])
            unanswered = collected.take(endpoint, positions, results)
            if unanswered is not None:
                raise EndpointFailed("fault", unanswered)

        def failed(endpoint: Endpoint, failure: Exception) -> None:
            problems.append(f"endpoint {endpoint.index + 1}: {failure}")

        won = await first_answer(
            endpoints,
            ask,
            failure=EndpointFailed,
            patience_seconds=self._config.hedge_after_seconds,
            failed=failed,
            hedged=partial(self._metrics.hedges.add, self._chain_id),
        )
        results = collected.results()
        if results is None:
            raise self._unavailable(problems)
        if not _is_foreign(calls):
            self._note_race(endpoints, won, collected.outdone())
        return results

    def _note_race(
        self, endpoints: Sequence[Endpoint], won: Won[Endpoint, None] | None, outdone: Sequence[Endpoint]
    ) -> None:
        now = asyncio.get_running_loop().time()
        for endpoint in outdone:
            endpoint.health.fault(now)
        if won is not None:
            for endpoint in won.beaten:
                endpoint.health.lose(now)
            if won.runner is endpoints[0]:
                won.runner.health.win()

    async def _ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[object]:
        """Ask one endpoint, and for its chain id too if that is not verified. Without `calls`, ask for that alone.

        Raises EndpointFailed after it has ejected the endpoint (not for foreign calls), and ChainUnavailable if this
        client is closed.
        """
        verify = not calls or (self._chain_id is not None and not endpoint.health.verified)
        sent = [_CHAIN_ID, *calls] if verify else calls
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "ok"
        self._metrics.calls.add(self._chain_id, by=len(sent))
        foreign = _is_foreign(calls)
        try:
            results = await endpoint.exchange(self._open_session(foreign=foreign), sent)
            if verify:
                self._check_chain(results[0])
                results = results[1:]
            if not all(map(is_answer, calls, results)):
                outcome = "fault"
        except EndpointFailed as failure:
            outcome = failure.outcome
            if not foreign:
                self._eject(endpoint, failure)
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            method = "batch" if len(calls) > 1 else (calls or sent)[0].method
            self._metrics.exchange_seconds.observe(loop.time() - started, self._chain_id, method, outcome)
        self._judge(endpoint, calls, results, seconds=loop.time() - started, verified=verify or self._chain_id is None)
        return results

    def _judge(
        self,
        endpoint: Endpoint,
        calls: Sequence[RpcCall],
        results: Sequence[object],
        *,
        seconds: float,
        verified: bool,
    ) -> None:
        """Update the endpoint's health from an answer."""
        if verified:
            self._readmit(endpoint)
        if _is_foreign(calls):
            return
        endpoint.health.latency_seconds = seconds
        if not all(map(is_answer, calls, results)):
            self._metrics.faults.add(self._chain_id, endpoint.index + 1)
        if any(map(is_limit, calls, results)):
            self._eject(endpoint, EndpointFailed("limited", "it limits some calls"))
        self._note_head(calls, results)

    async def _probe(self, endpoint: Endpoint) -> EndpointState:
        """Ask one endpoint for its state. Its health does not change."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        chain_id, problem, reachable = None, None, True
        try:
            (result,) = await endpoint.exchange(self._open_session(foreign=False), [_CHAIN_ID])
            chain_id = _parse_chain_id(result)
            if self._chain_id is not None and chain_id != self._chain_id:
                problem = f"answers for chain {chain_id}, not {self._chain_id}"
        except EndpointFailed as failure:
            problem, reachable = str(failure), failure.outcome not in ("timeout", "unreachable")
        return EndpointState(endpoint.index, reachable, chain_id, loop.time() - started, problem)

    def _check_after_pause(self, endpoint: Endpoint) -> None:
        """Plan a check for the end of the pause, so that an idle server notices too that its node is back."""
        if self._closed:
            return
        due = endpoint.health.ejected_until
        planned = self._checks.get(endpoint.index)
        if planned is not None and planned.when() == due:
            return
        self._drop_check(endpoint)
        # In a context of its own: what belongs to the request that met the failure ends with that request.
        loop = asyncio.get_running_loop()
        self._checks[endpoint.index] = loop.call_at(due, self._check, endpoint, context=Context())

    def _drop_check(self, endpoint: Endpoint) -> None:
        planned = self._checks.pop(endpoint.index, None)
        if planned is not None:
            planned.cancel()

    def _check(self, endpoint: Endpoint) -> None:
        """Check the endpoint after its pause. A check that is still in progress plans the next one if it fails."""
        del self._checks[endpoint.index]
        if not endpoint.health.reviving:
            endpoint.health.reviving = True
            self.start(self._revive(endpoint))

    async def _revive(self, endpoint: Endpoint) -> None:
        try:
            await self._ask(endpoint, [])
        except (EndpointFailed, ChainUnavailable):
            pass  # `ask` has ejected it again
        finally:
            endpoint.health.reviving = False

    def _unavailable(self, problems: Sequence[str]) -> ChainUnavailable:
        """Make the error. If no endpoint may be asked for a while, it tells the client when to retry."""
        now = asyncio.get_running_loop().time()
        error = ChainUnavailable(detail=f"chain {self._chain_id}: {'; '.join(problems) or 'all endpoints are ejected'}")
        pause = seconds_until_open([endpoint.health for endpoint in self._endpoints], now)
        if pause:
            error.ask_again_in(pause)
        return error

    def _note_head(self, calls: Sequence[RpcCall], results: Sequence[object]) -> None:
        """Record the newest block if the calls asked for it."""
        for call, result in zip(calls, results, strict=True):
            if call.method == _BLOCK_NUMBER.method and isinstance(result, str):
                try:
                    height = parse_quantity(result, call.method)
                except EndpointFailed:
                    continue
                self._metrics.block_height.set(height, self._chain_id)
                self._metrics.heads.add(self._chain_id)

    def _check_chain(self, result: object) -> None:
        answered = _parse_chain_id(result)
        if self._chain_id is not None and answered != self._chain_id:
            raise EndpointFailed("wrong_chain", f"answers for chain {answered}")

    def _eject(self, endpoint: Endpoint, failure: EndpointFailed) -> None:
        now = asyncio.get_running_loop().time()
        pause = endpoint.health.fail(now, retry_after_seconds=failure.retry_after_seconds)
        if pause is not None:  # many calls meet one outage; it counts once
            self._metrics.failovers.add(self._chain_id, endpoint.index + 1)
            _log.warning(
                "chain %s endpoint %d ejected for %.0f s: %s",
                "(id not told yet)" if self._chain_id is None else self._chain_id,
                endpoint.index + 1,
                pause,
                failure,
            )
        self._check_after_pause(endpoint)

    def _readmit(self, endpoint: Endpoint) -> None:
        if endpoint.health.failures:
            _log.info("chain %s endpoint %d answers again", self._chain_id, endpoint.index + 1)
        endpoint.health.recover()
        self._drop_check(endpoint)

    def _open_session(self, *, foreign: bool) -> aiohttp.ClientSession:
        if self._closed:
            raise ChainUnavailable(detail=f"chain {self._chain_id}: the client is closed")
        session = self._sessions.get(foreign)
        if session is None:
            limit = _MAX_FOREIGN_CONNECTIONS if foreign else _MAX_CONNECTIONS
            session = self._outgoing.session(limit=limit, keepalive_seconds=_KEEPALIVE_SECONDS)
            self._sessions[foreign] = session
        return session


def _is_up(endpoint: Endpoint) -> bool:
    return not endpoint.health.failures


def _is_foreign(calls: Sequence[RpcCall]) -> bool:
    return any(call.foreign for call in calls)


def _parse_chain_id(result: object) -> int:
    """Parse the result of eth_chainId. Raises EndpointFailed."""
    return parse_quantity(result, "eth_chainId")
