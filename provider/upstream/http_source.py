"""The `Source` of an HTTP answer. `http_origin.py` opens it."""

import asyncio
import socket

from provider.errors import UpstreamTimedOut, UpstreamTruncated
from provider.override import override
from provider.upstream.body import Body
from provider.upstream.connection import Connection
from provider.upstream.connections import IdlePool
from provider.upstream.request_head import PreparedRequest
from provider.upstream.response_head import ResponseHead
from provider.upstream.source import NO_HEADERS, Framing, Headers, Source

# On release, a rest of this size is read away: that costs less than a new connection.
_DRAIN_BYTES = 64 * 1024
# Most user-space bytes of one stream. TLS records, and Tornado's copy of a chunk (for a body without length), need
# memory beside the reader's buffer. Each takes its share from the size of one read.
_STREAM_BYTES = 256 * 1024
_COPY_BYTES = 64 * 1024


class HttpSource(Source):
    """The `Source` of an HTTP answer."""

    __slots__ = (
        "_asked", "_body", "_connection", "_is_given_up", "_is_short", "_keep_alive", "_most_bytes", "_pool", "framing",
        "headers", "idle_timeout_seconds", "length_bytes", "status",
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
        asked: PreparedRequest,
        idle_timeout_seconds: float,
        pool: IdlePool,
    ) -> None:
        """`pool`: takes the connection if it can serve another request."""
        self._connection, self._asked, self._pool = connection, asked, pool
        self._keep_alive = head.keep_alive
        self._is_short = (head.length_bytes or 0) <= _DRAIN_BYTES
        self.status, self.headers, self.framing = head.status, head.headers, head.framing
        self.length_bytes = head.length_bytes
        self._body = Body(connection, head, ahead)
        copies = connection.is_tls + (self.length_bytes is None)
        self._most_bytes = _STREAM_BYTES - copies * _COPY_BYTES
        self.idle_timeout_seconds = idle_timeout_seconds
        self._is_given_up = False

    @property
    @override
    def final_url_path(self) -> str:
        return self._asked.target.path

    @override
    def forget_head(self) -> None:
        self.headers = NO_HEADERS

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
            # Others first: an origin may send bytes that take long to read.
            await asyncio.sleep(0)
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
        if self._is_given_up:
            return
        self._is_given_up = True
        if self._connection.closed or not self._keep_alive:
            self._connection.close()
            return
        if not self._body.leaves_clean_connection:
            self._drain()
        if self._body.leaves_clean_connection:
            self._pool.put(self._asked.partition, self._asked.first_url, self._connection)
        else:
            self._connection.close()

    @override
    def close(self) -> None:
        # A connection that was given up may serve another request by now.
        if not self._is_given_up:
            self._connection.close()

    def _drain(self) -> None:
        if not self._is_short:
            return
        scratch, left = memoryview(bytearray(_DRAIN_BYTES)), _DRAIN_BYTES
        try:
            while left > 0 and (count := self._body.read_now(scratch)):
                left -= count
        except UpstreamTruncated:
            return
