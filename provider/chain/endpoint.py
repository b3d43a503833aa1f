"""One JSON-RPC endpoint: calls in, results out, over a given HTTP session. Who is asked next is decided in failover.py.

Errors and logs name an endpoint by chain id and position, never by URL: URLs of RPC services hold API keys.
"""

import asyncio
import base64
import errno
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from provider.chain.health import Health
from provider.chain.jsonrpc import BatchRefused, MalformedReply, RpcCall, RpcFault, decode, encode
from provider.wire_text import digits, ows

MAX_REPLY_BYTES = 32 * 1024 * 1024
"""Largest reply read. A full batch of receipts or a wide eth_getLogs stays below 10 MiB; geth's own limit for a
batch reply is 25 MB."""

_BATCH_RETRY_SECONDS = 600.0  # an endpoint that refused a batch is offered one again after this time
_REFUSING_STATUSES = frozenset({401, 403, 407, 408, 425, 429})  # say nothing about the call itself


class EndpointFailed(Exception):
    """This endpoint gave no usable answer. `outcome` is a metric label, the text is for the log.

    `retry_after_seconds`: how long it asked to be left alone (RFC 9110 section 10.2.3), None when it did not.
    """

    def __init__(self, outcome: str, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What `provider check` shows of one endpoint; `problem` is None when it is usable."""

    index: int
    reachable: bool
    chain_id: int | None
    latency_seconds: float
    problem: str | None


class Endpoint:
    """Address and health of one endpoint; the health is kept here and changed by those who ask it."""

    def __init__(
        self, url: str, *, index: int, timeout_seconds: float, user_agent: str, proxy: str | None = None
    ) -> None:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"RPC endpoint {index + 1}: not an http or https URL")
        self.index = index
        self.health = Health()
        self._url = parsed.with_user(None)
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._headers = {"Content-Type": "application/json", "User-Agent": user_agent}
        if parsed.user is not None:
            credentials = f"{parsed.user}:{parsed.password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
        self._single_calls_until = 0.0

    def __repr__(self) -> str:
        return f"Endpoint({self.index + 1})"

    async def exchange(self, session: aiohttp.ClientSession, calls: Sequence[RpcCall]) -> list[object]:
        """Results or faults in the order of `calls`; one HTTP round trip where the endpoint takes batches.

        Raises EndpointFailed.
        """
        loop = asyncio.get_running_loop()
        if len(calls) > 1 and loop.time() < self._single_calls_until:
            return await self._exchange_singly(session, calls)
        try:
            results = await self._exchange_once(session, calls)
        except BatchRefused:
            results = await self._exchange_singly(session, calls)
            self._single_calls_until = loop.time() + _BATCH_RETRY_SECONDS
        return results

    async def _exchange_singly(self, session: aiohttp.ClientSession, calls: Sequence[RpcCall]) -> list[object]:
        tasks = [asyncio.create_task(self._exchange_once(session, [call])) for call in calls]
        try:
            return [result for results in await asyncio.gather(*tasks) for result in results]
        finally:
            for task in tasks:
                task.cancel()

    async def _exchange_once(self, session: aiohttp.ClientSession, calls: Sequence[RpcCall]) -> list[object]:
        status, body, retry_after = await self._post(session, encode(calls))
        if status != 200 and (not 400 <= status < 500 or status in _REFUSING_STATUSES):
            outcome = "limited" if status == 429 else "http_status"
            raise EndpointFailed(outcome, f"HTTP {status}", retry_after_seconds=_seconds(retry_after))
        try:
            results = decode(body, len(calls))
        except MalformedReply as error:
            if status == 200:
                raise EndpointFailed("malformed", str(error)) from None
            if len(calls) > 1:
                raise BatchRefused(f"HTTP {status}") from None
            raise EndpointFailed("http_status", f"HTTP {status}") from None
        for result in results:
            if isinstance(result, RpcFault) and result.is_endpoint_condition:
                raise EndpointFailed("limited", f"code {result.code}")
        return results

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, bytes, str | None]:
        try:
            try:
                return await self._post_once(session, body)
            except (aiohttp.ServerDisconnectedError, ConnectionError, aiohttp.ClientOSError) as error:
                if not _was_dropped(error):
                    raise
                # Probably a kept connection that the server closed meanwhile. Every call we make may be
                # repeated: reads are harmless, and a signed transaction is the same transaction twice.
                return await self._post_once(session, body)
        except TimeoutError:
            raise EndpointFailed("timeout", "no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # The texts of these errors hold host and port.
            raise EndpointFailed("unreachable", type(error).__name__) from None

    async def _post_once(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, bytes, str | None]:
        async with session.post(
            self._url,
            data=body,
            headers=self._headers,
            timeout=self._timeout,
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > MAX_REPLY_BYTES:
                    raise EndpointFailed("too_large", "reply larger than the limit")
            return response.status, bytes(received), response.headers.get("Retry-After")


def parse_quantity(result: object, method: str) -> int:
    """A hex number of JSON-RPC. Raises EndpointFailed: an endpoint that answers otherwise is none."""
    if isinstance(result, str) and result.startswith("0x"):
        try:
            return int(result, 16)
        except ValueError:
            pass
    raise EndpointFailed("malformed", f"{method} is not a hex number")


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After that gives seconds; a date, which no JSON-RPC service is known to send, is left out."""
    return digits(ows(retry_after or ""), max_chars=9)


def _was_dropped(error: Exception) -> bool:
    """True when an open connection was lost; false when none could be made."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return True
    return isinstance(error, OSError) and error.errno in (None, errno.ECONNRESET, errno.EPIPE)
