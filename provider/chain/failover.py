"""The endpoints of one chain: which one to ask, when to believe its answer, and which one is put aside.

They are asked in the order of `health.py`, mostly the given one. One that fails is put aside for a growing time; each
time that is over its chain id is asked, until it comes back. One that is slow has the next one asked as well. A fault
that is no answer of the chain (`jsonrpc.is_answer`) has the next one asked for that call; the first is not put aside.

Calls that run a stranger's contract have connections of their own and never change the health of an endpoint.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextvars import Context

import aiohttp

from provider.chain.collected import Collected
from provider.chain.endpoint import Endpoint, EndpointFailed, EndpointState, parse_quantity
from provider.chain.health import order, seconds_until_open
from provider.chain.jsonrpc import RpcCall, is_answer, is_limit
from provider.chain.race import Won, first_answer
from provider.chain.rpc_observer import RpcEvents, RpcObserver
from provider.errors import ChainUnavailable
from provider.outgoing.sessions import Outgoing

_CHAIN_ID = RpcCall("eth_chainId")
_BLOCK_NUMBER = "eth_blockNumber"
_MAX_CONNECTIONS = 64
_MAX_FOREIGN_CONNECTIONS = 32
_KEEPALIVE_SECONDS = 30.0  # below the 60-75 s after which common front ends drop idle connections

_log = logging.getLogger(__name__)


class Failover:
    """Asks `endpoints` over one pool of connections, which the first exchange opens, inside the running loop.

    `chain_id` is what every one of them must answer for; None: unknown so far, nothing is verified.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        chain_id: int | None,
        hedge_after_seconds: float,
        observe: RpcObserver,
        events: RpcEvents,
        outgoing: Outgoing,
    ) -> None:
        self.endpoints = endpoints
        self.chain_id = chain_id
        self._hedge_after_seconds = hedge_after_seconds
        self._observe = observe
        self._events = events
        self._outgoing = outgoing
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks: dict[int, asyncio.TimerHandle] = {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by: for foreign calls?
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Nothing can be asked any longer."""
        return self._closed

    def in_order(self) -> list[Endpoint]:
        """Whom to ask, in this order: no caller waits for a doubtful endpoint while another one is healthy."""
        now = asyncio.get_running_loop().time()
        return order(((endpoint, endpoint.health) for endpoint in self.endpoints), now)

    async def ask_in_turn(
        self, endpoints: Sequence[Endpoint], calls: Sequence[RpcCall], *, together: bool
    ) -> list[object]:
        """Results of the first that answers all calls; one that fails, is slow or has a fault has the next one asked.

        `together`: all results have to be of one endpoint. What none answers is the last one's fault. Raises
        ChainUnavailable.
        """
        problems: list[str] = []
        collected: Collected[Endpoint] = Collected(calls, together=together)

        async def ask(endpoint: Endpoint) -> None:
            positions = collected.wanted()
            results = await self.ask(endpoint, [calls[position] for position in positions])
            unanswered = collected.take(endpoint, positions, results)
            if unanswered is not None:
                raise EndpointFailed("fault", unanswered)

        def failed(endpoint: Endpoint, failure: Exception) -> None:
            problems.append(f"endpoint {endpoint.index + 1}: {failure}")

        won = await first_answer(
            endpoints,
            ask,
            failure=EndpointFailed,
            patience_seconds=self._hedge_after_seconds,
            failed=failed,
            hedged=self._events.hedged,
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

    async def ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[object]:
        """Results of one, its chain id seen before they are believed; no `calls`: only that is asked.

        Raises EndpointFailed, which has put it aside unless the calls are foreign, and ChainUnavailable once this is
        closed.
        """
        verify = not calls or (self.chain_id is not None and not endpoint.health.verified)
        sent = [_CHAIN_ID, *calls] if verify else calls
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "ok"
        self._events.calls(len(sent))
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
                self._put_aside(endpoint, failure)
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            method = "batch" if len(calls) > 1 else (calls or sent)[0].method
            self._observe(method, outcome, loop.time() - started)
        self._judge(endpoint, calls, results, seconds=loop.time() - started, verified=verify or self.chain_id is None)
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
        """What an answer tells of the endpoint's health."""
        if verified:
            self._readmit(endpoint)
        if _is_foreign(calls):
            return
        endpoint.health.latency_seconds = seconds
        if not all(map(is_answer, calls, results)):
            self._events.faulted(endpoint.index)
        if any(map(is_limit, calls, results)):
            self._put_aside(endpoint, EndpointFailed("limited", "it limits some calls"))
        self._tell_head(calls, results)

    async def probe(self, endpoint: Endpoint) -> EndpointState:
        """What one says of itself now; changes nothing about who is asked next."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        chain_id, problem, reachable = None, None, True
        try:
            (result,) = await endpoint.exchange(self._open_session(foreign=False), [_CHAIN_ID])
            chain_id = parse_chain_id(result)
            if self.chain_id is not None and chain_id != self.chain_id:
                problem = f"answers for chain {chain_id}, not {self.chain_id}"
        except EndpointFailed as failure:
            problem, reachable = str(failure), failure.outcome not in ("timeout", "unreachable")
        return EndpointState(endpoint.index, reachable, chain_id, loop.time() - started, problem)

    def start(self, work: Awaitable[None]) -> None:
        """Run it in the background, until `close` at most."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End background work and close the connections; further exchanges raise ChainUnavailable."""
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

    def _check_after_pause(self, endpoint: Endpoint) -> None:
        """Without waiting for a call: a server that nobody uses has to know as well that its node is back."""
        if self._closed:
            return
        due = endpoint.health.aside_until
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
        """The pause is over. A check that is still under way plans the next one itself, should it fail."""
        del self._checks[endpoint.index]
        if not endpoint.health.reviving:
            endpoint.health.reviving = True
            self.start(self._revive(endpoint))

    async def _revive(self, endpoint: Endpoint) -> None:
        try:
            await self.ask(endpoint, [])
        except (EndpointFailed, ChainUnavailable):
            pass  # `ask` has put it aside again
        finally:
            endpoint.health.reviving = False

    def _unavailable(self, problems: Sequence[str]) -> ChainUnavailable:
        """Tells when a try may be worth it, if all endpoints are to be left alone until then."""
        now = asyncio.get_running_loop().time()
        error = ChainUnavailable(detail=f"chain {self.chain_id}: {'; '.join(problems) or 'all endpoints put aside'}")
        pause = seconds_until_open([endpoint.health for endpoint in self.endpoints], now)
        if pause:
            error.ask_again_in(pause)
        return error

    def _tell_head(self, calls: Sequence[RpcCall], results: Sequence[object]) -> None:
        """The latest block, if it was among what was asked."""
        for call, result in zip(calls, results, strict=True):
            if call.method == _BLOCK_NUMBER and isinstance(result, str):
                try:
                    self._events.head(parse_quantity(result, _BLOCK_NUMBER))
                except EndpointFailed:
                    continue

    def _check_chain(self, result: object) -> None:
        answered = parse_chain_id(result)
        if self.chain_id is not None and answered != self.chain_id:
            raise EndpointFailed("wrong_chain", f"answers for chain {answered}")

    def _put_aside(self, endpoint: Endpoint, failure: EndpointFailed) -> None:
        now = asyncio.get_running_loop().time()
        pause = endpoint.health.fail(now, retry_after_seconds=failure.retry_after_seconds)
        if pause is not None:  # many calls meet one outage; it counts once
            self._events.put_aside(endpoint.index)
            _log.warning(
                "chain %s endpoint %d put aside for %.0f s: %s",
                "(id not told yet)" if self.chain_id is None else self.chain_id,
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


def _is_foreign(calls: Sequence[RpcCall]) -> bool:
    return any(call.foreign for call in calls)


def parse_chain_id(result: object) -> int:
    """Of eth_chainId. Raises EndpointFailed."""
    return parse_quantity(result, "eth_chainId")
