"""The endpoints of one chain: asks one of them, and keeps the health of each. `rpc.py` decides what their answers make.

Endpoints are asked in the order of `health.py`, mostly the configured one. An endpoint that fails is ejected for a
growing time. After each such pause it is asked for its chain id, until it answers again.

Calls that run a stranger's contract use separate connections and never change the health of an endpoint.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextvars import Context
from functools import partial

import aiohttp

from provider.chain.config import RpcConfig
from provider.chain.endpoint import Endpoint, EndpointFailed, parse_count, parse_quantity
from provider.chain.health import EndpointHealth, behind, order, seconds_until_open, tell
from provider.chain.jsonrpc import RpcCall, RpcFault, is_answer, is_limit
from provider.errors import ChainUnavailable
from provider.observability.metrics.backends import Chains
from provider.outgoing.sessions import Outgoing

_CHAIN_ID = RpcCall("eth_chainId")
_BLOCK_NUMBER = RpcCall("eth_blockNumber")
_MAX_CONNECTIONS = 64
_MAX_FOREIGN_CONNECTIONS = 32
_KEEPALIVE_SECONDS = 30.0  # below the 60-75 s after which common front ends drop idle connections

_log = logging.getLogger(__name__)


class Endpoints:
    """Asks the endpoints of one chain, over pooled keep-alive connections.

    urls: in order of preference.
    config: `timeout_seconds` limits one HTTP exchange with one endpoint.
    chain_id: the chain of every endpoint. None: not known yet; nothing is verified until `learn`.

    The first call opens the HTTP session, inside the running loop. Raises ValueError for an unusable URL.
    """

    def __init__(
        self, urls: Sequence[str], config: RpcConfig, *, chain_id: int | None, metrics: Chains, outgoing: Outgoing
    ) -> None:
        if not urls:
            raise ValueError("at least one RPC endpoint is needed")
        self.chain_id = chain_id
        """The chain that every endpoint must serve; None if it is not known yet."""
        self._config = config
        self._metrics = metrics
        self._outgoing = outgoing
        self._endpoints = [
            Endpoint(url, index=index, timeout_seconds=config.timeout_seconds, proxy=outgoing.proxy_of(url))
            for index, url in enumerate(urls)
        ]
        self._is_watched = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks: dict[int, asyncio.TimerHandle] = {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by: for foreign calls?
        self._closed = False
        self._begin_metrics()

    def _begin_metrics(self) -> None:
        for metric in (self._metrics.calls, self._metrics.hedges, self._metrics.heads):
            metric.begin(self.chain_id)
        for endpoint in self._endpoints:
            labels = (self.chain_id, endpoint.index + 1)
            self._metrics.failovers.begin(*labels)
            self._metrics.faults.begin(*labels)
            self._metrics.endpoint_up.follow(partial(_is_up, endpoint), *labels)

    def __len__(self) -> int:
        return len(self._endpoints)

    def in_order(self) -> list[Endpoint]:
        """Return the endpoints in the order to ask them: nobody waits for a doubtful one while another is healthy."""
        now = asyncio.get_running_loop().time()
        return order(((endpoint, endpoint.health) for endpoint in self._endpoints), now)

    async def ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[object]:
        """Ask one endpoint, and for its chain id too if that is not verified. Without `calls`, ask for that alone.

        Raises EndpointFailed after it has ejected the endpoint (not for foreign calls), and ChainUnavailable if this
        client is closed.
        """
        verify = not calls or (self.chain_id is not None and not endpoint.health.verified)
        sent = [_CHAIN_ID, *calls] if verify else calls
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "ok"
        self._metrics.calls.add(self.chain_id, by=len(sent))
        foreign = is_foreign(calls)
        try:
            results = await endpoint.exchange(self._open_session(foreign=foreign), sent)
            if verify:
                self._check_chain(results[0])
                results = results[1:]
            heads = _heads_of(calls, results)
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
            self._metrics.exchange_seconds.observe(loop.time() - started, self.chain_id, method, outcome)
        for height in heads:
            self._note_head(height)
        self._judge(endpoint, calls, results, seconds=loop.time() - started, verified=verify or self.chain_id is None)
        return results

    def learn(self, answer: object) -> int:
        """Hold every endpoint to the chain of this answer to eth_chainId. Raises EndpointFailed."""
        self.chain_id = parse_chain_id(answer)
        for endpoint in self._endpoints:
            endpoint.health.verified = False
        return self.chain_id

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
                told = "fell behind the others" if endpoint in late else "has caught up"
                _log.warning("chain %s endpoint %d %s", self.chain_id, endpoint.index + 1, told)

    def unavailable(self, problems: Sequence[str]) -> ChainUnavailable:
        """Make the error. If no endpoint may be asked for a while, it tells the client when to retry."""
        now = asyncio.get_running_loop().time()
        error = ChainUnavailable(detail=f"chain {self.chain_id}: {'; '.join(problems) or 'all endpoints are ejected'}")
        pause = seconds_until_open([endpoint.health for endpoint in self._endpoints], now)
        if pause:
            error.ask_again_in(pause)
        return error

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
            (result,) = await self.ask(endpoint, [_BLOCK_NUMBER])
            height = parse_count(result, _BLOCK_NUMBER.method)
        except (EndpointFailed, ChainUnavailable):
            endpoint.health.height = None
        else:
            endpoint.health.height = height
            self._metrics.endpoint_block.set(height, self.chain_id, endpoint.index + 1)

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
        if is_foreign(calls):
            return
        endpoint.health.latency_seconds = seconds
        if not all(map(is_answer, calls, results)):
            self._metrics.faults.add(self.chain_id, endpoint.index + 1)
        if any(map(is_limit, calls, results)):
            self._eject(endpoint, EndpointFailed("limited", "it limits some calls"))

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
            await self.ask(endpoint, [])
        except (EndpointFailed, ChainUnavailable):
            pass  # `ask` has ejected it again
        finally:
            endpoint.health.reviving = False

    def _note_head(self, height: int) -> None:
        """Record the newest block."""
        self._metrics.block_height.set(height, self.chain_id)
        if self.chain_id not in self._config.idle_chains:
            self._metrics.heads.add(self.chain_id)

    def _check_chain(self, result: object) -> None:
        answered = parse_chain_id(result)
        if self.chain_id is not None and answered != self.chain_id:
            raise EndpointFailed("wrong_chain", f"answers for chain {answered}")

    def _eject(self, endpoint: Endpoint, failure: EndpointFailed) -> None:
        now = asyncio.get_running_loop().time()
        pause = endpoint.health.fail(now, retry_after_seconds=failure.retry_after_seconds)
        if pause is not None:  # many calls meet one outage; it counts once
            self._metrics.failovers.add(self.chain_id, endpoint.index + 1)
            _log.warning(
                "chain %s endpoint %d ejected for %.0f s: %s",
                "(id not known yet)" if self.chain_id is None else self.chain_id,
                endpoint.index + 1,
                pause,
                failure,
            )
        self._check_after_pause(endpoint)

    def _readmit(self, endpoint: Endpoint) -> None:
        if endpoint.health.failures:
            _log.info("chain %s endpoint %d answers again", self.chain_id, endpoint.index + 1)
        endpoint.health.recover()
        self._drop_check(endpoint)

    def _open_session(self, *, foreign: bool) -> aiohttp.ClientSession:
        if self._closed:
            raise ChainUnavailable(detail=f"chain {self.chain_id}: the client is closed")
        session = self._sessions.get(foreign)
        if session is None:
            limit = _MAX_FOREIGN_CONNECTIONS if foreign else _MAX_CONNECTIONS
            session = self._outgoing.session(limit=limit, keepalive_seconds=_KEEPALIVE_SECONDS)
            self._sessions[foreign] = session
        return session


def is_foreign(calls: Sequence[RpcCall]) -> bool:
    """True if a call runs a stranger's contract."""
    return any(call.foreign for call in calls)


def _heads_of(calls: Sequence[RpcCall], results: Sequence[object]) -> list[int]:
    """Return the numbers of newest blocks in the results. Raises EndpointFailed for what is none."""
    return [
        parse_count(result, call.method)
        for call, result in zip(calls, results, strict=True)
        if call.method == _BLOCK_NUMBER.method and not isinstance(result, RpcFault)
    ]


def parse_chain_id(result: object) -> int:
    """Parse the result of eth_chainId. Raises EndpointFailed."""
    return parse_quantity(result, "eth_chainId")


def _is_up(endpoint: Endpoint) -> bool:
    return not endpoint.health.failures
