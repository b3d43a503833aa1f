"""JSON-RPC access to one chain over several endpoints: calls in, results out, ChainUnavailable when none answers.

Endpoints are asked in the given order. One that fails is put aside for a growing time and comes back after its
chain id was seen again; while all are aside, all are tried. No meaning is given to results here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from provider.chain.endpoint import Endpoint, EndpointFailed, EndpointState
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.errors import ChainError, ChainUnavailable

__all__ = ["EndpointState", "Rpc", "RpcCall", "RpcFault", "RpcObserver"]

RpcObserver = Callable[[str, str, float], None]
"""Called once per exchange with one endpoint: method (`batch` for several calls), outcome, seconds.

Outcomes: `ok`, `timeout`, `unreachable`, `http_status`, `malformed`, `too_large`, `limited`, `wrong_chain`.
"""

MAX_BATCH_CALLS = 50
"""Calls that `submit` sends in one HTTP request. Public services refuse batches above 50 to 1000 calls."""

_CHAIN_ID = RpcCall("eth_chainId")
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_MAX_CONNECTIONS = 64
_KEEPALIVE_SECONDS = 30.0  # below the 60-75 s after which common front ends drop idle connections

_log = logging.getLogger(__name__)


def _unobserved(method: str, outcome: str, seconds: float) -> None:
    pass


class Rpc:
    """Pooled keep-alive JSON-RPC client of one chain with failover.

    `chain_id` None: unknown so far, nothing is verified until `learn_chain_id`. `timeout_seconds` holds for one
    HTTP exchange with one endpoint, so the longest wait of a call is that times the number of endpoints. The HTTP
    session is opened by the first call, inside the running loop. Raises ValueError for an unusable URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chain_id: int | None,
        timeout_seconds: float = 10.0,
        user_agent: str,
        observe: RpcObserver = _unobserved,
    ) -> None:
        if not urls:
            raise ValueError("at least one RPC endpoint is needed")
        self._endpoints = [
            Endpoint(url, index=index, timeout_seconds=timeout_seconds, user_agent=user_agent)
            for index, url in enumerate(urls)
        ]
        self._chain_id = chain_id
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
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
        return any(not endpoint.failures for endpoint in self._endpoints)

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Results in the order of `calls`, each a JSON value or an RpcFault; one HTTP round trip.

        An endpoint's chain id is asked in the same round trip before its first answer is believed. Raises
        ChainUnavailable.
        """
        if not calls:
            return []
        problems = []
        for endpoint in self._in_order():
            try:
                return await self._ask(endpoint, calls)
            except EndpointFailed as failure:
                problems.append(f"endpoint {endpoint.index + 1}: {failure}")
        raise ChainUnavailable(detail=f"chain {self._chain_id}: {'; '.join(problems)}")

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
                endpoint.verified = False
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

    def _in_order(self) -> list[Endpoint]:
        """Healthy endpoints as configured, then the others, soonest back first.

        An endpoint whose pause is over is checked in the background, so that no caller waits for a doubtful
        endpoint while another one is healthy.
        """
        healthy = [endpoint for endpoint in self._endpoints if not endpoint.failures]
        doubtful = [endpoint for endpoint in self._endpoints if endpoint.failures]
        if healthy and doubtful:
            now = asyncio.get_running_loop().time()
            for endpoint in doubtful:
                if now >= endpoint.aside_until and not endpoint.reviving:
                    endpoint.reviving = True
                    self._start(self._revive(endpoint))
        return healthy + sorted(doubtful, key=lambda endpoint: endpoint.aside_until)

    async def _revive(self, endpoint: Endpoint) -> None:
        try:
            await self._ask(endpoint, [])
        except (EndpointFailed, ChainUnavailable):
            pass  # `_ask` has put it aside again
        finally:
            endpoint.reviving = False

    async def _ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[object]:
        verify = not calls or (self._chain_id is not None and not endpoint.verified)
        sent = [_CHAIN_ID, *calls] if verify else calls
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "ok"
        try:
            results = await endpoint.exchange(self._open_session(), sent)
            if verify:
                self._check_chain(results[0])
                results = results[1:]
        except EndpointFailed as failure:
            outcome = failure.outcome
            self._put_aside(endpoint, failure)
            raise
        finally:
            method = "batch" if len(calls) > 1 else (calls or sent)[0].method
            self._observe(method, outcome, loop.time() - started)
        if verify or self._chain_id is None:
            self._readmit(endpoint)
        return results

    def _check_chain(self, result: object) -> None:
        answered = _parse_chain_id(result)
        if self._chain_id is not None and answered != self._chain_id:
            raise EndpointFailed("wrong_chain", f"answers for chain {answered}")

    def _put_aside(self, endpoint: Endpoint, failure: EndpointFailed) -> None:
        endpoint.verified = False
        now = asyncio.get_running_loop().time()
        if endpoint.failures and now < endpoint.aside_until:
            return  # many calls meet one outage; it counts once
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(endpoint.failures, 16), _LONGEST_PAUSE_SECONDS)
        endpoint.failures += 1
        endpoint.aside_until = now + pause
        _log.warning(
            "chain %s endpoint %d put aside for %.0f s: %s", self._chain_id, endpoint.index + 1, pause, failure
        )

    def _readmit(self, endpoint: Endpoint) -> None:
        if endpoint.failures:
            _log.info("chain %s endpoint %d answers again", self._chain_id, endpoint.index + 1)
        endpoint.verified = True
        endpoint.failures = 0
        endpoint.aside_until = 0.0

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
    if isinstance(result, str) and result.startswith("0x"):
        try:
            return int(result, 16)
        except ValueError:
            pass
    raise EndpointFailed("malformed", "eth_chainId is not a hex number")
