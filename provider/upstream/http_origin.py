"""Opens an `HttpRequest` at its origin: sends it, follows redirects, and returns an open `HttpSource`.

Each hop passes the address guard. This module does not judge the status, nor does it know what the body is for.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from provider.errors import UpstreamError, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.addresses import Resolver
from provider.upstream.charges import charge_request
from provider.upstream.config import UpstreamConfig
from provider.upstream.connection import Connection
from provider.upstream.connections import Connections, IdlePool
from provider.upstream.http_source import HttpSource
from provider.upstream.names import Names
from provider.upstream.patience import NOT_NOW, pause_seconds
from provider.upstream.request_head import PreparedRequest, Redirect, follow, prepare
from provider.upstream.response_head import MAX_HEAD_BYTES, ResponseHead, find_head_end, parse_head
from provider.upstream.resume import may_pass
from provider.upstream.source import HttpRequest

_POOL_SHARE = 32
_POOL_IDLE_SECONDS = 30.0
_POOL_AGE_SECONDS = 300.0
# After an answer that says "not now"; multiplied by the number of the attempt.
_RETRY_PAUSE_SECONDS = 0.2
# RFC 9110 section 9.2.2: these may be sent again when it is unknown whether they arrived.
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
# Heads have 300-1500 bytes. Body bytes that arrive in the same read are handed out first.
_HEAD_READ_BYTES = 16 * 1024
# RFC 9110 section 15.2 sets no limit; Go's net/http accepts 5.
_MAX_INTERIM_HEADS = 8

# Filled and copied from within a single call, on the loop's thread.
_scratch = memoryview(bytearray(_HEAD_READ_BYTES))


class _ConnectionWasStale(Exception):
    """The origin had already closed the connection: not one byte of an answer arrived."""


class HttpOrigin:
    """Opens requests at any origin. Owns the pool of idle connections and the one TLS context.

    No limit covers a whole transfer. Following redirects takes at most as long as the limits of connecting and of the
    first byte together. `config.attempts` includes the first one. Only idempotent requests are tried again, after a
    failure or after a 429 or 5xx that may pass.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        *,
        max_redirects: int = 20,
        patient: bool = True,
        tls_context: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        """`patient`: try once more if an answer asks to wait for less than the first-byte limit."""
        self._config = config
        self._redirects_timeout_seconds = config.connect_timeout_seconds + config.first_byte_timeout_seconds
        self._max_redirects = max_redirects
        self._patient = patient
        self._pool = IdlePool(
            max_idle=config.max_idle_connections,
            share=_POOL_SHARE,
            idle_seconds=_POOL_IDLE_SECONDS,
            age_seconds=_POOL_AGE_SECONDS,
            quiet_seconds=config.quiet_seconds,
        )
        self._connections = Connections(
            allow_private=config.allow_non_public_ip,
            connect_timeout_seconds=config.connect_timeout_seconds,
            # Making a context takes about 26 ms, so all connections share one.
            tls_context=tls_context if tls_context is not None else ssl.create_default_context(),
            resolver=resolver if resolver is not None else Names(),
        )

    @property
    def idle_connections(self) -> int:
        """Number of idle connections in the pool."""
        return len(self._pool)

    def close(self) -> None:
        """Close the idle connections. Open sources stay open; their users close them."""
        self._pool.close()

    @asynccontextmanager
    async def opened(self, request: HttpRequest) -> AsyncIterator[HttpSource]:
        """Open a request as a context: the source is released at the end, or closed at once on an error."""
        source = await self.open(request)
        try:
            yield source
        except BaseException:
            source.close()
            raise
        source.release()

    async def open(self, request: HttpRequest | PreparedRequest | Redirect) -> HttpSource:
        """Send the request, follow redirects, return the first answer that is not a redirect.

        A request that is sent often can be prepared once (`request_head.prepare`).

        Raises:
            UnsafeAddress: the URL, or a redirect's, has a refused address or does not resolve.
            UpstreamUnreachable: no connection, or it was lost before the head was complete.
            UpstreamTimedOut: the connect or first-byte limit passed, or the limit on all redirects.
            UpstreamError: the head cannot be trusted, or there were too many redirects.
            FileObjectInvalid: the method or a header is not allowed in a request.
        """
        if isinstance(request, Redirect):
            return await self._follow(request)
        answer = await self._hop(request if isinstance(request, PreparedRequest) else prepare(request))
        return answer if isinstance(answer, HttpSource) else await self._follow(answer)

    async def open_hop(self, request: HttpRequest) -> HttpSource | Redirect:
        """Send one request. Returns the answer, or the redirect to follow. Raises what `open` raises."""
        return await self._hop(prepare(request))

    async def _follow(self, redirect: Redirect) -> HttpSource:
        try:
            async with asyncio.timeout(self._redirects_timeout_seconds):
                for _ in range(self._max_redirects):
                    answer = await self._hop(prepare(redirect))
                    if isinstance(answer, HttpSource):
                        return answer
                    redirect = answer
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="origin: limit of all redirects passed") from exc
        raise UpstreamError(detail="origin: too many redirects")

    async def _hop(self, asked: PreparedRequest) -> HttpSource | Redirect:
        source = await self._answered(asked)
        try:
            redirect = follow(asked, source.status, source.headers)
        except UpstreamError:
            source.close()
            raise
        if redirect is None:
            return source
        source.release()
        return redirect

    async def _answered(self, asked: PreparedRequest) -> HttpSource:
        began_at = asyncio.get_running_loop().time()
        attempts = self._config.attempts if asked.request.method in _IDEMPOTENT else 1
        attempt = 1
        while True:
            try:
                source = await self._ask(asked)
            except (UpstreamUnreachable, UpstreamTimedOut):
                if attempt == attempts:
                    raise
            else:
                if attempt == attempts or not may_pass(source.status):
                    return source if source.status not in NOT_NOW else await self._once_more(asked, source, began_at)
                source.release()
                await asyncio.sleep(attempt * _RETRY_PAUSE_SECONDS)
            attempt += 1

    async def _once_more(self, asked: PreparedRequest, source: HttpSource, began_at: float) -> HttpSource:
        """Try again after the pause that `source` asks for. Without such a pause, `source` remains the answer."""
        pause = pause_seconds(source.status, source.headers, now=time.time())
        waited_at = began_at + self._config.first_byte_timeout_seconds
        loop = asyncio.get_running_loop()
        if not self._patient or asked.request.method not in _IDEMPOTENT or pause is None:
            return source
        if loop.time() + pause >= waited_at:
            return source
        source.release()
        await asyncio.sleep(pause)
        try:
            async with asyncio.timeout_at(waited_at):
                return await self._ask(asked)
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="origin: first-byte limit passed in the second try") from exc

    async def _ask(self, asked: PreparedRequest) -> HttpSource:
        charge_request()
        # A pooled connection may close while we write to it, so only idempotent requests use one.
        pooled = self._pool.take(asked.partition, asked.first_url) if asked.request.method in _IDEMPOTENT else None
        if pooled is not None:
            try:
                return await self._exchanged(pooled, asked)
            except _ConnectionWasStale:
                pass
        connection = await self._connections.dial(asked.target)
        try:
            return await self._exchanged(connection, asked)
        except _ConnectionWasStale as exc:
            raise UpstreamUnreachable(detail="origin: closed without an answer") from exc

    async def _exchanged(self, connection: Connection, asked: PreparedRequest) -> HttpSource:
        head, ahead = await _exchange(
            connection,
            asked.request.method,
            asked.payload,
            first_byte_timeout_seconds=self._config.first_byte_timeout_seconds,
        )
        self._connections.keep_session(asked.target, connection)
        return HttpSource(
            connection,
            head,
            ahead,
            asked=asked,
            idle_timeout_seconds=self._config.idle_timeout_seconds,
            pool=self._pool,
        )


async def _exchange(
    connection: Connection, method: str, payload: bytes, *, first_byte_timeout_seconds: float
) -> tuple[ResponseHead, bytes]:
    """Send a request. Returns the final head and the bytes after it. On failure the connection is closed.

    Raises:
        _ConnectionWasStale: the connection was lost before the first byte of an answer.
        UpstreamUnreachable: the connection was lost within the head.
        UpstreamTimedOut: the head was not complete in time.
        UpstreamError: the head is too large or cannot be trusted.
    """
    received = bytearray()
    # A plain timer: asyncio.timeout costs several times as much, and all waits here are on this connection.
    timer = asyncio.get_running_loop().call_later(first_byte_timeout_seconds, connection.expire)
    try:
        await connection.send_all(payload)
        head = await _read_head(connection, method, received)
    except TimeoutError as exc:
        connection.close()
        raise UpstreamTimedOut(detail="origin: first-byte limit passed") from exc
    except OSError as exc:
        connection.close()
        if not received:
            raise _ConnectionWasStale from exc
        raise UpstreamUnreachable(detail="origin: connection lost in the head") from exc
    except BaseException:
        connection.close()
        raise
    finally:
        timer.cancel()
    return head, bytes(received)


async def _read_head(connection: Connection, method: str, received: bytearray) -> ResponseHead:
    """Read up to the end of the final head. Bytes that follow it stay in `received`."""
    for _ in range(_MAX_INTERIM_HEADS + 1):
        looked_at = 0
        while (end := find_head_end(received, looked_at)) < 0:
            looked_at = len(received)
            if looked_at > MAX_HEAD_BYTES:
                raise UpstreamError(detail="origin: head too large")
            received += await _receive(connection)
        if end > MAX_HEAD_BYTES:
            raise UpstreamError(detail="origin: head too large")
        head = parse_head(received[:end], method=method)
        del received[:end]
        if head.status == 101:
            raise UpstreamError(detail="origin: switched protocols unasked")
        if not head.is_interim:
            return head
    raise UpstreamError(detail="origin: too many interim answers")


async def _receive(connection: Connection) -> memoryview:
    while (count := connection.recv_now(_scratch)) is None:
        await connection.wait_readable()
    if count == 0:
        raise ConnectionResetError("closed by the origin")
    return _scratch[:count]
