"""One JSON-RPC endpoint: calls in, results out, over a given HTTP session. `endpoints.py` keeps its health.

Errors and logs name an endpoint by chain id and position, never by URL: URLs of RPC services hold API keys.
"""

import asyncio
import base64
import errno
from collections.abc import Sequence

import aiohttp
from yarl import URL

from provider import USER_AGENT
from provider.chain.abi import AbiError, count_of_hex, int_of_hex
from provider.chain.batch_size import BatchSize
from provider.chain.health import Health
from provider.chain.jsonrpc import (
    SIZED_BY_STRANGERS,
    TOO_LARGE,
    MalformedReply,
    RpcCall,
    RpcFault,
    decode,
    encode,
    is_answer,
    is_limit,
)
from provider.wire.text import digits, ows

MAX_REPLY_BYTES = 32 * 1024 * 1024
"""Largest reply read. A full batch of receipts or a wide eth_getLogs stays below 10 MiB; geth's own limit for a
batch reply is 25 MB."""
MAX_REPLY_LOGS = 5000
"""Most logs read in one reply, of eth_getLogs or in receipts: what strangers emit is parsed before it is left out."""
MAX_FOREIGN_REPLY_BYTES = 1024 * 1024
"""Largest reply read from a stranger's contract: results of up to half a megabyte, in hex."""

_REFUSING_STATUSES = frozenset({401, 403, 407, 408, 425, 429})  # say nothing about the call itself


class EndpointFailed(Exception):
    """This endpoint gave no usable answer. `outcome` is a metric label, the text is for the log.

    `retry_after_seconds`: the endpoint's Retry-After (RFC 9110 section 10.2.3), None without one.
    `was_reached`: it answered or dropped the connection, so fewer calls at once may succeed.
    """

    def __init__(
        self,
        outcome: str,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        was_reached: bool = True,
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_after_seconds = retry_after_seconds
        self.was_reached = was_reached


class Endpoint:
    """Address and health of one endpoint. `endpoints.py` updates the health."""

    def __init__(self, url: str, *, index: int, timeout_seconds: float, proxy: str | None = None) -> None:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"RPC endpoint {index + 1}: not an http or https URL")
        self.index = index
        self.health = Health()
        self._url = parsed.with_user(None)
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
        if parsed.user is not None:
            credentials = f"{parsed.user}:{parsed.password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
        self.batch_size = BatchSize()

    def __repr__(self) -> str:
        return f"Endpoint({self.index + 1})"

    async def exchange(self, session: aiohttp.ClientSession, calls: Sequence[RpcCall]) -> list[object]:
        """Return results or faults in the order of `calls`, in one HTTP round trip if the endpoint takes batches.

        Raises EndpointFailed if no call was answered.
        """
        most = self.batch_size.most(asyncio.get_running_loop().time()) or len(calls)
        if len(calls) <= most:
            results = await self._send(session, calls)
        else:
            pieces = [calls[start : start + most] for start in range(0, len(calls), most)]
            results = await self._send_apart(session, pieces)
        if all(is_limit(call, result) for call, result in zip(calls, results, strict=True)):
            raise EndpointFailed("limited", f"code {getattr(results[0], 'code', 0)}")
        return results

    async def _send(self, session: aiohttp.ClientSession, calls: Sequence[RpcCall]) -> list[object]:
        """Send all calls in one request, or one by one if that fails and the endpoint was reached."""
        if len(calls) == 1:
            return await self._send_one(session, calls[0])
        try:
            results = await self._send_once(session, calls)
        except EndpointFailed as failure:
            if not failure.was_reached or failure.retry_after_seconds is not None:
                raise
            results = await self._send_apart(session, [[call] for call in calls])
            if failure.outcome != "too_large":
                self.batch_size.refused(len(calls), asyncio.get_running_loop().time())
            return results
        self.batch_size.worked(len(calls))
        return results

    async def _send_apart(self, session: aiohttp.ClientSession, pieces: Sequence[Sequence[RpcCall]]) -> list[object]:
        """Send several requests at once. If any is answered, the failure of another is only a fault of its calls."""
        tasks = [asyncio.ensure_future(self._send(session, piece)) for piece in pieces]
        try:
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
        results: list[object] = []
        failures: list[EndpointFailed] = []
        for piece, answer in zip(pieces, answers, strict=True):
            if isinstance(answer, EndpointFailed):
                failures.append(answer)
                results += [RpcFault(0, str(answer))] * len(piece)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                results += answer
        if len(failures) == len(pieces):
            raise failures[-1]
        return results

    async def _send_one(self, session: aiohttp.ClientSession, call: RpcCall) -> list[object]:
        try:
            return await self._send_once(session, [call])
        except EndpointFailed as failure:
            # A contract decided how long this result is, so the endpoint is not to blame.
            if failure.outcome == "too_large" and call.method in SIZED_BY_STRANGERS:
                return [TOO_LARGE]
            raise

    async def _send_once(self, session: aiohttp.ClientSession, calls: Sequence[RpcCall]) -> list[object]:
        status, body, retry_after = await self._post(session, encode(calls), _most_bytes(calls))
        results: list[object] | None = None
        problem = ""
        try:
            results = decode(body, len(calls))
        except MalformedReply as error:
            problem = str(error)
        if status == 200:
            if results is None:
                raise EndpointFailed("malformed", problem)
            return results
        if results is not None and (_may_hold_answers(status) or _is_answered_fault(calls, results)):
            return results
        outcome = "limited" if status == 429 else "http_status"
        raise EndpointFailed(outcome, f"HTTP {status}", retry_after_seconds=_seconds(retry_after))

    async def _post(self, session: aiohttp.ClientSession, body: bytes, max_bytes: int) -> tuple[int, bytes, str | None]:
        try:
            try:
                return await self._post_once(session, body, max_bytes)
            except (aiohttp.ServerDisconnectedError, ConnectionError, aiohttp.ClientOSError) as error:
                if not _was_dropped(error):
                    raise
                # Probably a kept connection that the server closed meanwhile. Every call we make may be
                # repeated: reads are harmless, and a signed transaction is the same transaction twice.
                return await self._post_once(session, body, max_bytes)
        except TimeoutError:
            raise EndpointFailed("timeout", "no answer in time", was_reached=False) from None
        except (aiohttp.ClientError, OSError) as error:
            # The texts of these errors hold host and port.
            raise EndpointFailed("unreachable", type(error).__name__, was_reached=_was_dropped(error)) from None

    async def _post_once(
        self, session: aiohttp.ClientSession, body: bytes, max_bytes: int
    ) -> tuple[int, bytes, str | None]:
        async with session.post(
            self._url,
            data=body,
            headers=self._headers,
            timeout=self._timeout,
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            received, logs = bytearray(), 0
            async for chunk in response.content.iter_any():
                received += chunk
                logs += chunk.count(b'"topics"')
                if len(received) > max_bytes or logs > MAX_REPLY_LOGS:
                    raise EndpointFailed("too_large", "reply larger than the limit")
            return response.status, bytes(received), response.headers.get("Retry-After")


def _most_bytes(calls: Sequence[RpcCall]) -> int:
    """Longest reply that is read."""
    if any(call.foreign for call in calls):
        return MAX_FOREIGN_REPLY_BYTES
    return min([MAX_REPLY_BYTES, *(call.max_reply_bytes for call in calls if call.max_reply_bytes is not None)])


def parse_quantity(result: object, method: str) -> int:
    """Parse a hex number of JSON-RPC. Raises EndpointFailed, since a healthy endpoint answers with one."""
    try:
        return int_of_hex(result)
    except AbiError:
        raise EndpointFailed("malformed", f"{method} is not a hex number") from None


def parse_count(result: object, method: str) -> int:
    """Parse the number of a block or a transaction. Raises EndpointFailed."""
    try:
        return count_of_hex(result)
    except AbiError:
        raise EndpointFailed("malformed", f"{method} is not a number that a chain can have") from None


def _may_hold_answers(status: int) -> bool:
    return 400 <= status < 500 and status not in _REFUSING_STATUSES


def _is_answered_fault(calls: Sequence[RpcCall], results: Sequence[object]) -> bool:
    """True for a single call that the contract refused: some nodes reply to it with status 500."""
    return len(calls) == 1 and isinstance(results[0], RpcFault) and is_answer(calls[0], results[0])


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After. A date is ignored: no JSON-RPC service is known to send one."""
    return digits(ows(retry_after or ""), max_chars=9)


def _was_dropped(error: Exception) -> bool:
    """True if an open connection was lost; False if none could be opened."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return True
    return isinstance(error, OSError) and error.errno in (None, errno.ECONNRESET, errno.EPIPE)
