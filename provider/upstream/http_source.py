"""Opens an `HttpRequest` at its origin: sends it, follows redirects, and returns an open `HttpSource`.

Each hop passes the address guard. This module does not judge the status, nor does it know what the body is for.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from provider.errors import UpstreamError, UpstreamTimedOut, UpstreamTruncated, UpstreamUnreachable
from provider.override import override
from provider.upstream.addresses import Resolver
from provider.upstream.body import Body
from provider.upstream.charges import charge_request
from provider.upstream.config import UpstreamConfig
from provider.upstream.connection import Connection
from provider.upstream.connections import Connections, IdlePool
from provider.upstream.exchange import ConnectionWasStale, exchange
from provider.upstream.names import Names
from provider.upstream.patience import NOT_NOW, pause_seconds
from provider.upstream.request_head import PreparedRequest, Redirect, follow, prepare
from provider.upstream.response_head import ResponseHead
from provider.upstream.resume import may_pass
from provider.upstream.source import Framing, Headers, HttpRequest, Source
from provider.upstream.urls import Target

# On release, a rest of this size is read away: that costs less than a new connection.
_DRAIN_BYTES = 64 * 1024
# Most user-space bytes of one stream. TLS records, and Tornado's copy of a chunk (for a body without length), need
# memory beside the reader's buffer. Each takes its share from the size of one read.
_STREAM_BYTES = 256 * 1024
_COPY_BYTES = 64 * 1024
_MAX_IDLE_PER_PARTITION = 32
_POOL_IDLE_SECONDS = 30.0
_POOL_AGE_SECONDS = 300.0
# After an answer that says "not now"; multiplied by the number of the attempt.
_RETRY_PAUSE_SECONDS = 0.2
# RFC 9110 section 9.2.2: these may be sent again when it is unknown whether they arrived.
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))


class HttpSource(Source):
    """The `Source` of an HTTP answer."""

    __slots__ = (
        "_body", "_connection", "_head", "_most_bytes", "_reuse", "_target", "framing", "headers",
        "idle_timeout_seconds", "length_bytes", "status",
    )  # fmt: skip

    status: int
    headers: Headers
    framing: Framing
    length_bytes: int | None
    idle_timeout_seconds: float

    def __init__(
        self,
        connection: Connection,
        head: ResponseHead,
        ahead: bytes,
        *,
        target: Target,
        idle_timeout_seconds: float,
        reuse: Callable[[Connection], None],
    ) -> None:
        self._connection, self._head, self._target = connection, head, target
        self.status, self.headers, self.framing = head.status, head.headers, head.framing
        self.length_bytes = head.length_bytes
        self._body = Body(connection, head, ahead)
        copies = connection.is_tls + (self.length_bytes is None)
        self._most_bytes = _STREAM_BYTES - copies * _COPY_BYTES
        self.idle_timeout_seconds = idle_timeout_seconds
        self._reuse = reuse

    @property
    @override
    def final_url_path(self) -> str:
        return self._target.path

    @override
    def expect(self, count_bytes: int) -> None:
        self.length_bytes = count_bytes
        if self.framing == "close":
            self.framing = "length"
        self._body.expect(count_bytes)

    @property
    @override
    def ready_bytes(self) -> int:
        return self._body.ready_bytes

    @override
    def read_now(self, buffer: memoryview) -> int | None:
        return self._body.read_now(buffer[: self._most_bytes])

    @override
    async def wait_ready(self) -> None:
        if self._body.ready_bytes:
            return
        try:
            await self._connection.wait_readable(self.idle_timeout_seconds)
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="origin: idle limit passed in the body") from exc
        except OSError as exc:
            raise UpstreamTruncated(detail="origin: connection closed in the body") from exc

    @override
    async def read_into(self, buffer: memoryview) -> int:
        while (count := self.read_now(buffer)) is None:
            await self.wait_ready()
        return count

    @override
    def raw_socket(self) -> socket.socket | None:
        return self._connection.socket if self._body.is_raw else None

    @property
    @override
    def contiguous_bytes(self) -> int:
        return self._body.contiguous_bytes

    @override
    def advance(self, count_bytes: int) -> None:
        self._body.advance(count_bytes)

    @override
    def release(self) -> None:
        # Bytes that are already here are drained first, if they are few.
        if self._connection.closed or not self._head.keep_alive:
            self._connection.close()
            return
        if not self._body.leaves_clean_connection:
            self._drain()
        if self._body.leaves_clean_connection:
            self._reuse(self._connection)
        else:
            self._connection.close()

    @override
    def close(self) -> None:
        self._connection.close()

    def _drain(self) -> None:
        if (self._head.length_bytes or 0) > _DRAIN_BYTES:
            return
        scratch, left = memoryview(bytearray(_DRAIN_BYTES)), _DRAIN_BYTES
        try:
            while left > 0 and (count := self._body.read_now(scratch)):
                left -= count
        except UpstreamTruncated:
            return


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
            max_idle_per_partition=_MAX_IDLE_PER_PARTITION,
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

    def prepare(self, request: HttpRequest) -> PreparedRequest:
        """Prepare a request that is sent often; pass the result to `open`. Raises UnsafeAddress, FileObjectInvalid."""
        return prepare(request)

    async def open(self, request: HttpRequest | PreparedRequest | Redirect) -> HttpSource:
        """Send the request, follow redirects, return the first answer that is not a redirect.

        Raises:
            UnsafeAddress: the URL, or a redirect's, has a refused address or does not resolve.
            UpstreamUnreachable: no connection, or it was lost before the head was complete.
            UpstreamTimedOut: the connect or first-byte limit passed, or the limit on all redirects.
            UpstreamError: the head cannot be trusted, or there were too many redirects.
            FileObjectInvalid: the method or a header is not allowed in a request.
        """
        if isinstance(request, Redirect):
            return await self._follow(request)
        answer = await self._hop(request if isinstance(request, PreparedRequest) else self.prepare(request))
        return answer if isinstance(answer, HttpSource) else await self._follow(answer)

    async def open_hop(self, request: HttpRequest) -> HttpSource | Redirect:
        """Send one request. Returns the answer, or the redirect to follow. Raises what `open` raises."""
        return await self._hop(self.prepare(request))

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
        for attempt in range(1, attempts + 1):
            try:
                source = await self._ask(asked)
            except (UpstreamUnreachable, UpstreamTimedOut):
                if attempt == attempts:
                    raise
                continue
            if attempt == attempts or not may_pass(source.status):
                return source if source.status not in NOT_NOW else await self._once_more(asked, source, began_at)
            source.release()
            await asyncio.sleep(attempt * _RETRY_PAUSE_SECONDS)
        raise AssertionError("unreachable: attempts is at least 1")

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
                return await self._exchange(pooled, asked)
            except ConnectionWasStale:
                pass
        connection = await self._connections.dial(asked.target)
        try:
            return await self._exchange(connection, asked)
        except ConnectionWasStale as exc:
            raise UpstreamUnreachable(detail="origin: closed without an answer") from exc

    async def _exchange(self, connection: Connection, asked: PreparedRequest) -> HttpSource:
        head, ahead = await exchange(
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
            target=asked.target,
            idle_timeout_seconds=self._config.idle_timeout_seconds,
            reuse=partial(self._pool.put, asked.partition, asked.first_url),
        )
