"""A `Sink` for one reply of Tornado's HTTP server.

The reply stays Tornado's: access log, `on_finish`, keep-alive, pipelining, idle timeouts and drain work as for any
other reply. A body may be sent below Tornado's IOStream, which only needs the number of bytes that bypassed it. This
relies on undocumented attributes of Tornado: `tests/contract/test_tornado_seam.py` fails if a release changes them,
and `bypassable` then makes bodies be copied.
"""

import socket
from collections.abc import Callable
from typing import cast

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from provider.http1.connection import forget_head
from provider.http1.handler import HttpHandler
from provider.http1.heads import NO_FIELDS
from provider.http1.streams import AnswersAtOnce
from provider.override import override
from provider.streaming.limits import pace_socket
from provider.streaming.sink import ConsumerGone, Fields, RawConsumer, Sink

# Tornado copies a chunk when it adds the framing. Pieces of this size keep that copy small.
_CHUNK_BYTES = 64 * 1024

# struct tcp_info of linux/tcp.h: tcpi_bytes_acked (RFC 4898 tcpEStatsAppHCThruOctetsAcked) is at offset 120.
_TCP_INFO_BYTES = 128
_BYTES_ACKED_AT = 120


class TornadoSink(Sink):
    """The reply of one handler. The handler forwards `on_connection_close` to `consumer_gone`."""

    __slots__ = ("_callback", "_chunked", "_connection", "_gone", "_handler", "_stream")

    def __init__(self, handler: HttpHandler) -> None:
        self._handler = handler
        # Both were created by our own server.
        self._connection = cast(HTTP1Connection, handler.request.connection)
        self._stream = cast(AnswersAtOnce, self._connection.stream)
        self._chunked = False
        self._gone = False
        self._callback: Callable[[], None] | None = None

    @override
    async def start(self, status: int, fields: Fields, first: memoryview) -> None:
        handler = self._handler
        handler.set_status(status)
        handler.set_headers(fields)
        self._chunked = not handler.announces_length
        self._check()
        # Small pieces from an origin should not wait for acknowledgements of earlier ones (RFC 896).
        self._stream.set_nodelay(True)
        if first:
            handler.write(bytes(first))
        try:
            await handler.flush()
        except StreamClosedError as exc:
            raise _gone(exc) from exc
        self._check()
        self._forget_heads()

    def _forget_heads(self) -> None:
        """Drop what only the start of a reply needs: its stream may last for hours."""
        handler, request = self._handler, self._handler.request
        handler._headers = request.headers = NO_FIELDS
        request.query, request.uri = "", request.path
        forget_head(self._connection)

    @override
    async def write(self, data: memoryview) -> None:
        if not self._chunked:
            await self._write(data)
            return
        for start in range(0, len(data), _CHUNK_BYTES):
            await self._write(data[start : start + _CHUNK_BYTES])

    @override
    def raw_consumer(self) -> RawConsumer | None:
        self._check()
        if not bypassable(self._connection):
            return None
        return RawConsumer(self._stream.socket, is_chunked(self._connection))

    @override
    def advance(self, count_bytes: int) -> None:
        count_body(self._connection, count_bytes)

    @override
    async def finish(self) -> None:
        self._check()
        try:
            pending = self._handler.finish()
            if pending is not None:
                await pending
        except StreamClosedError as exc:
            raise _gone(exc) from exc

    @override
    def abort(self) -> None:
        # Tornado's own methods would end a chunked body with a proper last chunk.
        if not self._stream.closed():
            self._stream.cut()
            # Tornado tells the handler later, or never if it was detached meanwhile.
            self.consumer_gone()

    @override
    def on_gone(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if callback is not None and (self._gone or self._stream.closed()):
            self.consumer_gone()

    def consumer_gone(self) -> None:
        """Record that the consumer left. Call it from the handler's `on_connection_close`."""
        self._gone = True
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def pace(self, bytes_per_second: int) -> None:
        """Send at most `bytes_per_second` from now on."""
        if not self._stream.closed():
            pace_socket(self._stream.socket, bytes_per_second)

    @override
    def taken_bytes(self) -> int | None:
        if self._stream.closed():
            return None
        try:
            info = self._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except (OSError, AttributeError):
            return None
        if len(info) < _TCP_INFO_BYTES:
            return None
        return int.from_bytes(info[_BYTES_ACKED_AT : _BYTES_ACKED_AT + 8], "little")

    async def _write(self, data: memoryview) -> None:
        self._check()
        data = self._send_now(data)
        if not data:
            return
        # HTTP1Connection passes a body with Content-Length unchanged to IOStream.write, which accepts memoryviews
        # without a copy. `handler.write` would accept bytes only and join them.
        pending = self._connection.write(cast(bytes, data))
        if not pending.done():
            await pending
        elif (error := pending.exception()) is not None:
            raise ConsumerGone from error
        # Tornado resolves a pending write even if the connection was lost.
        self._check()

    def _send_now(self, data: memoryview) -> memoryview:
        """Send directly what the socket accepts: Tornado's write costs about 25 microseconds. Returns the rest."""
        if self._chunked or not bypassable(self._connection):
            return data
        try:
            sent = self._stream.socket.send(data)
        except BlockingIOError:
            return data
        except OSError as exc:
            raise ConsumerGone from exc
        count_body(self._connection, sent)
        return data[sent:]

    def _check(self) -> None:
        if self._gone or self._stream.closed():
            raise ConsumerGone


def _gone(error: StreamClosedError) -> ConsumerGone:
    """Drop the error's frames: Tornado's connection keeps the error, and they hold the connection."""
    error.__traceback__ = None
    return ConsumerGone()


def bypassable(connection: HTTP1Connection) -> bool:
    """True if the body may be sent below this connection: the head has left, and nothing waits behind it."""
    stream = connection.stream
    return (
        isinstance(stream, IOStream)
        and not isinstance(stream, SSLIOStream)
        and isinstance(stream.socket, socket.socket)
        and not stream.closed()
        and not stream.writing()
        and isinstance(getattr(connection, "_chunking_output", None), bool)
        and isinstance(getattr(connection, "_expected_content_remaining", False), int | None)
    )


def is_chunked(connection: HTTP1Connection) -> bool:
    """True if the head, written by Tornado, announced chunks."""
    return connection._chunking_output


def count_body(connection: HTTP1Connection, count_bytes: int) -> None:
    """Report bytes sent past Tornado, so that its own check of Content-Length works at the end."""
    left = connection._expected_content_remaining
    if left is not None:
        connection._expected_content_remaining = left - count_bytes
