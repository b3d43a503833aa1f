"""JSON-RPC access to one chain over several endpoints: calls in, results out, ChainUnavailable when none answers.

Endpoints are asked in the order of `health.py`, mostly the given one. One that fails is put aside for a growing time
and comes back after its chain id was seen again; one that is slow has the next one asked as well. No meaning is given
to results here.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import aiohttp

from provider.chain.endpoint import Endpoint, EndpointFailed, EndpointState, parse_quantity
from provider.chain.health import EndpointHealth, order, seconds_until_open, tell
from provider.chain.height_watch import HeightObserver, HeightWatch
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.race import first_answer
from provider.errors import ChainError, ChainUnavailable

__all__ = ["EndpointState", "Rpc", "RpcCall", "RpcEvents", "RpcFault", "RpcObserver"]

RpcObserver = Callable[[str, str, float], None]
"""Called once per exchange with one endpoint: method (`batch` for several calls), outcome, seconds.

Outcomes: `ok`, `timeout`, `unreachable`, `http_status`, `malformed`, `too_large`, `limited`, `wrong_chain`, and
`cancelled`: another endpoint answered first, or nobody wanted the answer any longer.
"""


class RpcEvents(Protocol):
    """Told of what a chain's client does beside its exchanges; endpoints by their position, from 0."""

    def calls(self, count: int) -> None:
        """So many calls leave in one exchange."""

    def put_aside(self, endpoint: int) -> None:
        """An endpoint failed; once per outage."""

    def hedged(self) -> None:
        """An answer was slow, and the next endpoint is asked as well."""

    def head(self, block: int) -> None:
        """A node told the number of its latest block."""


class _NoEvents:
    def calls(self, count: int) -> None:
        pass

    def put_aside(self, endpoint: int) -> None:
        pass

    def hedged(self) -> None:
        pass

    def head(self, block: int) -> None:
        pass


MAX_BATCH_CALLS = 50
"""Calls that `submit` sends in one HTTP request. Public services refuse batches above 50 to 1000 calls."""

_CHAIN_ID = RpcCall("eth_chainId")
_BLOCK_NUMBER = "eth_blockNumber"
_MAX_CONNECTIONS = 64
_KEEPALIVE_SECONDS = 30.0  # below the 60-75 s after which common front ends drop idle connections

_log = logging.getLogger(__name__)


def _unobserved(method: str, outcome: str, seconds: float) -> None:
    pass


class Rpc:
    """Pooled keep-alive JSON-RPC client of one chain with failover.

    `chain_id` None: unknown so far, nothing is verified until `learn_chain_id`. `timeout_seconds` holds for one
    HTTP exchange with one endpoint, so the longest wait of a call is that times the number of endpoints;
    `hedge_after_seconds` without an answer have the next one asked as well (0: never). The HTTP session is opened by
    the first call, inside the running loop. Raises ValueError for an unusable URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chain_id: int | None,
        timeout_seconds: float = 10.0,
        hedge_after_seconds: float = 1.0,
        user_agent: str,
        observe: RpcObserver = _unobserved,
        events: RpcEvents | None = None,
    ) -> None:
        if not urls:
            raise ValueError("at least one RPC endpoint is needed")
        self._endpoints = [
            Endpoint(url, index=index, timeout_seconds=timeout_seconds, user_agent=user_agent)
            for index, url in enumerate(urls)
        ]
        self._chain_id = chain_id
        self._hedge_after_seconds = hedge_after_seconds
        self._observe = observe
        self._events = events or _NoEvents()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._heights: HeightWatch | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: list[tuple[RpcCall, asyncio.Future[object]]] = []

    def __repr__(self) -> str:
        return f"Rpc(chain_id={self._chain_id}, endpoints={len(self._endpoints)})"

    @property
    def chain_id(self) -> int | None:
        """The chain every endpoint must answer for."""
        return self._chain_id

    @property
    def is_available(self) -> bool:
        """False while every endpoint is put aside after a failure."""
        return any(not endpoint.health.failures for endpoint in self._endpoints)

    def endpoints_up(self) -> Mapping[int, bool]:
        """By position: is the endpoint not put aside?"""
        return {endpoint.index: not endpoint.health.failures for endpoint in self._endpoints}

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Results in the order of `calls`, each a JSON value or an RpcFault; one HTTP round trip.

        An endpoint's chain id is asked in the same round trip before its first answer is believed. Raises
        ChainUnavailable.
        """
        if not calls:
            return []
        return await self._first(self._in_order(), calls)

    async def elsewhere(self, calls: Sequence[RpcCall]) -> list[object] | None:
        """As `batch`, but of an endpoint other than the one asked first: None when there is none or none answers.

        For what one node may not have seen yet.
        """
        others = self._in_order()[1:]
        try:
            return await self._first(others, calls) if others else None
        except ChainUnavailable:
            return None

    async def _first(self, endpoints: Sequence[Endpoint], calls: Sequence[RpcCall]) -> list[object]:
        problems: list[str] = []

        def failed(endpoint: Endpoint, failure: Exception) -> None:
            problems.append(f"endpoint {endpoint.index + 1}: {failure}")

        won = await first_answer(
            endpoints,
            lambda endpoint: self._ask(endpoint, calls),
            failure=EndpointFailed,
            patience_seconds=self._hedge_after_seconds,
            failed=failed,
            hedged=self._events.hedged,
        )
        if won is None:
            raise self._unavailable(problems)
        for endpoint in won.beaten:
            endpoint.health.lose(asyncio.get_running_loop().time())
        if won.runner is endpoints[0]:
            won.runner.health.win()
        return won.answer

    def _unavailable(self, problems: Sequence[str]) -> ChainUnavailable:
        """Tells when a try may be worth it, if all endpoints are to be left alone until then."""
        now = asyncio.get_running_loop().time()
        error = ChainUnavailable(detail=f"chain {self._chain_id}: {'; '.join(problems) or 'all endpoints put aside'}")
        pause = seconds_until_open([endpoint.health for endpoint in self._endpoints], now)
        if pause:
            error.retry_after_seconds = math.ceil(pause)
        return error

    def submit(self, call: RpcCall) -> asyncio.Future[object]:
        """Result or RpcFault of `call`, to be awaited; sent in one batch with all others of this turn of the loop.

        Awaiting it raises ChainUnavailable. Cancelling one leaves the others alone.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        self._pending.append((call, answer))
        if len(self._pending) == 1:
            loop.call_soon(self._send_pending)
        return answer

    async def call(self, method: str, *params: object) -> object:
        """Result of one call. Raises ChainUnavailable, and ChainError when the node answers with an error."""
        (result,) = await self.batch([RpcCall(method, params)])
        if isinstance(result, RpcFault):
            raise ChainError(detail=f"{method}: code {result.code}: {result.message}")
        return result

    async def learn_chain_id(self) -> int:
        """Chain id of the first endpoint that answers; from here on all must agree with it.

        Returns the known one without asking. Raises ChainError.
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
        """State of every endpoint, asked now and at once; changes nothing about who is asked next."""
        return list(await asyncio.gather(*(self._probe(endpoint) for endpoint in self._endpoints)))

    async def close(self) -> None:
        """End background work and close the connections; further calls raise ChainUnavailable."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._session is not None:
            await self._session.close()

    def watch(self, *, every_seconds: float, max_lag_blocks: int, observe: HeightObserver) -> None:
        """From here on look at the height of every endpoint now and then; one too far behind is asked last.

        A single endpoint, which would be asked all the same, is looked at by `look` only.
        """
        self._heights = HeightWatch(
            self._endpoints, self._ask, chain=str(self._chain_id), max_lag_blocks=max_lag_blocks, observe=observe
        )
        if len(self._endpoints) > 1 and every_seconds:
            self._start(self._heights.run(every_seconds))

    async def look(self) -> None:
        """Ask every endpoint that is not put aside for its height, now; nothing before `watch`."""
        if self._heights is not None and not self._closed:
            await self._heights.look()

    def healths(self) -> list[EndpointHealth]:
        """What is known of every endpoint; nothing is asked."""
        now = asyncio.get_running_loop().time()
        return [tell(endpoint.index, endpoint.health, now) for endpoint in self._endpoints]

    def _in_order(self) -> list[Endpoint]:
        """Whom to ask, in this order.

        An endpoint whose pause is over is checked in the background, so that no caller waits for a doubtful
        endpoint while another one is healthy.
        """
        now = asyncio.get_running_loop().time()
        listed = order(((endpoint, endpoint.health) for endpoint in self._endpoints), now)
        if listed and not listed[0].health.failures:
            for endpoint in self._endpoints:
                health = endpoint.health
                if health.failures and now >= health.aside_until and not health.reviving:
                    health.reviving = True
                    self._start(self._revive(endpoint))
        return listed

    async def _revive(self, endpoint: Endpoint) -> None:
        try:
            await self._ask(endpoint, [])
        except (EndpointFailed, ChainUnavailable):
            pass  # `_ask` has put it aside again
        finally:
            endpoint.health.reviving = False

    async def _ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[object]:
        verify = not calls or (self._chain_id is not None and not endpoint.health.verified)
        sent = [_CHAIN_ID, *calls] if verify else calls
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "ok"
        self._events.calls(len(sent))
        try:
            results = await endpoint.exchange(self._open_session(), sent)
            if verify:
                self._check_chain(results[0])
                results = results[1:]
        except EndpointFailed as failure:
            outcome = failure.outcome
            self._put_aside(endpoint, failure)
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            method = "batch" if len(calls) > 1 else (calls or sent)[0].method
            self._observe(method, outcome, loop.time() - started)
        endpoint.health.latency_seconds = loop.time() - started
        if verify or self._chain_id is None:
            self._readmit(endpoint)
        self._tell_head(calls, results)
        return results

    def _tell_head(self, calls: Sequence[RpcCall], results: Sequence[object]) -> None:
        """The latest block, if it was among what was asked."""
        for call, result in zip(calls, results, strict=True):
            if call.method == _BLOCK_NUMBER and isinstance(result, str):
                try:
                    self._events.head(parse_quantity(result, _BLOCK_NUMBER))
                except EndpointFailed:
                    continue

    def _check_chain(self, result: object) -> None:
        answered = _parse_chain_id(result)
        if self._chain_id is not None and answered != self._chain_id:
            raise EndpointFailed("wrong_chain", f"answers for chain {answered}")

    def _put_aside(self, endpoint: Endpoint, failure: EndpointFailed) -> None:
        now = asyncio.get_running_loop().time()
        pause = endpoint.health.fail(now, retry_after_seconds=failure.retry_after_seconds)
        if pause is not None:  # many calls meet one outage; it counts once
            self._events.put_aside(endpoint.index)
            _log.warning(
                "chain %s endpoint %d put aside for %.0f s: %s", self._chain_id, endpoint.index + 1, pause, failure
            )

    def _readmit(self, endpoint: Endpoint) -> None:
        if endpoint.health.failures:
            _log.info("chain %s endpoint %d answers again", self._chain_id, endpoint.index + 1)
        endpoint.health.recover()

    async def _probe(self, endpoint: Endpoint) -> EndpointState:
        loop = asyncio.get_running_loop()
        started = loop.time()
        chain_id, problem, reachable = None, None, True
        try:
            (result,) = await endpoint.exchange(self._open_session(), [_CHAIN_ID])
            chain_id = _parse_chain_id(result)
            if self._chain_id is not None and chain_id != self._chain_id:
                problem = f"answers for chain {chain_id}, not {self._chain_id}"
        except EndpointFailed as failure:
            problem, reachable = str(failure), failure.outcome not in ("timeout", "unreachable")
        return EndpointState(endpoint.index, reachable, chain_id, loop.time() - started, problem)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ChainUnavailable(detail=f"chain {self._chain_id}: the client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send_pending(self) -> None:
        pending, self._pending = self._pending, []
        for start in range(0, len(pending), MAX_BATCH_CALLS):
            self._start(self._send(pending[start : start + MAX_BATCH_CALLS]))

    async def _send(self, pending: list[tuple[RpcCall, asyncio.Future[object]]]) -> None:
        waited_for = [(call, answer) for call, answer in pending if not answer.done()]
        try:
            results = await self.batch([call for call, _ in waited_for])
            for (_, answer), result in zip(waited_for, results, strict=True):
                if not answer.done():
                    answer.set_result(result)
        except ChainUnavailable as error:
            for _, answer in waited_for:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            for _, answer in waited_for:
                answer.cancel()  # no effect on one that has its result


def _parse_chain_id(result: object) -> int:
    return parse_quantity(result, "eth_chainId")
