"""Consumers' connections on Tornado's HTTP/1.1 server, with a faster path for requests without a body.

Anything unusual takes Tornado's own path. This module relies on undocumented parts of Tornado;
`tests/contract/test_http1.py` fails if a release changes them.
"""

import asyncio
from typing import cast

from tornado import gen
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
    parse_request_start_line,
)
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError

from provider.errors import BodyTooSlow, NotHttp, ProviderError
from provider.http1.heads import BODY_FIELDS, has_any, parse_plain_head
from provider.http1.streams import HEAD_END, AnswersAtOnce, TlsServerStream
from provider.override import override
from provider.wire.text import digits

_WITH_BODY = BODY_FIELDS | {"Expect"}
# For delegates that know of a request but have no answer of their own.
_BARE_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class RefusingDelegate(HTTPMessageDelegate):
    """A delegate that is also told of a request that cannot be read to its end."""

    def refuse(self, error: ProviderError) -> bytes:
        """Refuse the request. Return a complete answer, or nothing if its handler answers. The connection ends."""
        raise NotImplementedError


class _HeadLimit:
    """Limits the wait for the next head (seconds), with one timer per limit and not one per request.

    The head must be complete within `limit_seconds`. Once begun, it gets `head_seconds` and at most half of that more.
    """

    __slots__ = ("_begun_at", "_due_at", "_head_seconds", "_limit_seconds", "_loop", "_stream", "_timer")

    def __init__(self, stream: IOStream, limit_seconds: float, head_seconds: float) -> None:
        self._stream, self._limit_seconds, self._head_seconds = stream, limit_seconds, head_seconds
        self._loop = asyncio.get_running_loop()
        self._due_at: float | None = None
        self._begun_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start waiting for a head."""
        self._due_at = self._loop.time() + self._limit_seconds
        self._begun_at = None
        if self._timer is None:
            self._timer = self._loop.call_later(min(self._limit_seconds, self._head_seconds / 2), self._look)

    def end(self) -> None:
        """Stop the clock, since the head has arrived."""
        self._due_at = None

    def stop(self) -> None:
        """Cancel the timer, since the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._due_at is None:
            return
        now = self._loop.time()
        if isinstance(self._stream, AnswersAtOnce):
            self._due_at = max(self._due_at, self._stream.answered_at + self._limit_seconds)
        if not self._stream._read_buffer_size:
            self._begun_at = None
        elif self._begun_at is None:
            self._begun_at = now
        elif now - self._begun_at >= self._head_seconds:
            self._due_at = now
        left_seconds = min(self._due_at - now, self._head_seconds / 2)
        if left_seconds > 0:
            self._timer = self._loop.call_later(left_seconds, self._look)
        else:
            self._stream.close()


def report(done: asyncio.Task[None]) -> None:
    """Let the loop report an exception that nobody awaits: it is our fault."""
    if not done.cancelled():
        done.result()


def forget_head(connection: object) -> None:
    """Drop the header fields of the request whose answer has begun, and the query of its target."""
    exchange = cast(HTTP1Connection, connection)
    line = cast(RequestStartLine, exchange._request_start_line)
    exchange._request_start_line = line._replace(path=line.path.partition("?")[0])
    exchange._request_headers = None


def end_with_reply(connection: object) -> None:
    """Close the connection after this reply, as its `Connection: close` announces (RFC 9112 section 9.6)."""
    cast(HTTP1Connection, connection)._disconnect_on_finish = True


def tells_end(connection: object) -> bool:
    """True if the client can recognise the end of a body of unknown length; false over TLS without chunks."""
    http = cast(HTTP1Connection, connection)
    version = cast(RequestStartLine, http._request_start_line).version
    return version == "HTTP/1.1" or not isinstance(http.stream, TlsServerStream)


class ServerConnection(HTTP1ServerConnection):
    """Serves the requests of one consumer's connection, one after another."""

    # Longest time for a head once it has begun (seconds), for connections without a limit of their own.
    head_seconds = 20.0
    is_first = True
    """True until the first request has been answered completely."""

    @override
    def start_serving(self, delegate: HTTPServerConnectionDelegate) -> None:
        # Tornado's way leaves three callbacks and their contexts for each open connection.
        task = asyncio.get_running_loop().create_task(self._server_request_loop(delegate))
        task.add_done_callback(report)
        self._serving_future = task

    async def _server_request_loop(self, delegate: HTTPServerConnectionDelegate) -> None:
        stream = cast(AnswersAtOnce, self.stream)
        idle_seconds = self.params.header_timeout
        limit = _HeadLimit(stream, idle_seconds, self.head_seconds) if idle_seconds is not None else None
        try:
            while True:
                exchange = _Exchange(stream, self.params, self.context, limit)
                if not await exchange.read_response(delegate.start_request(self, exchange)) or stream.closed():
                    # A closed stream would still deliver its buffer. No request may follow one that ends its connection
                    # (RFC 9112 section 9.6): nobody would receive the answer.
                    return
                self.is_first = False
                if stream._read_buffer_size:
                    # Let others run: a client that pipelines its requests would never have to wait.
                    await asyncio.sleep(0)
        except (StreamClosedError, UnsatisfiableReadError, asyncio.CancelledError):
            return
        finally:
            if limit is not None:
                limit.stop()
            stream.close()
            if stream.error is not None:
                # The error's frames hold the stream, and the stream holds the error.
                stream.error.__traceback__ = None
            try:
                if isinstance(stream, TlsServerStream) and stream.last_word is not None:
                    # Until then the connection holds its descriptor and counts.
                    await stream.last_word
            finally:
                delegate.on_close(self)


class _Exchange(HTTP1Connection):
    """One request and its reply."""

    # Tornado declares what clients and servers have in common.
    _request_start_line: RequestStartLine

    def __init__(
        self, stream: AnswersAtOnce, params: HTTP1ConnectionParameters, context: object, limit: _HeadLimit | None
    ) -> None:
        super().__init__(stream, False, params, context)
        self._consumer = stream
        self._limit = limit

    @override
    async def _read_message_inner(self, delegate: HTTPMessageDelegate, *_: object) -> bool:
        told = True
        try:
            headers = await self._read_head()
            told = False
            waiting = delegate.headers_received(self._request_start_line, headers)
            if waiting is not None:
                await waiting
            if self.stream is None:
                told = True
                return False
            if has_any(headers, _WITH_BODY) and not await self._read_rest(headers, delegate):
                return False
            # The answer may take hours.
            del headers
            self._read_finished = True
            if not self._write_finished:
                delegate.finish()
            told = True
            if not self._finish_future.done() and self.stream is not None and not self.stream.closed():
                self.stream.set_close_callback(self._on_connection_close)
                await self._finish_future
            return self.stream is not None
        except HTTPInputError:
            answer = _BARE_400
            if isinstance(delegate, RefusingDelegate):
                answer = delegate.refuse(NotHttp())
            if self.stream is not None and answer:
                await self.stream.write(answer)
            self.close()
            return False
        finally:
            if not told:
                delegate.on_connection_close()
            self._clear_callbacks()

    async def _read_head(self) -> HTTPHeaders:
        if self._limit is not None:
            self._limit.begin()
        data = await self.stream.read_until_regex(HEAD_END, max_bytes=self.params.max_header_size)
        if self._limit is not None:
            self._limit.end()
        start_line, headers = parse_plain_head(data) or self._parse_any_head(data)
        self._request_start_line = start_line
        self._request_headers = headers
        self._disconnect_on_finish = not self._can_keep_alive(self._request_start_line, headers)
        return headers

    def _parse_any_head(self, data: bytes) -> tuple[RequestStartLine, HTTPHeaders]:
        first_line, headers = self._parse_headers(data)
        start_line = parse_request_start_line(first_line)
        if start_line.version == "HTTP/1.0" and "Transfer-Encoding" in headers:
            # RFC 9112 section 6.1: the framing is faulty, so the connection ends whatever the client asks for.
            headers.pop("Connection", None)
        return start_line, headers

    async def _read_rest(self, headers: HTTPHeaders, delegate: HTTPMessageDelegate) -> bool:
        """Read the body, if there is one. False if it took too long."""
        if headers.get("Expect") == "100-continue" and not self._write_finished:
            self.stream.write(b"HTTP/1.1 100 (Continue)\r\n\r\n")
        body = self._read_body(0, headers, delegate)
        if body is None:
            return True
        if self._body_timeout is None:
            await body
            return True
        until = self.stream.io_loop.time() + self._body_timeout
        try:
            await gen.with_timeout(until, cast("asyncio.Future[None]", body), quiet_exceptions=StreamClosedError)
        except TimeoutError:
            if isinstance(delegate, RefusingDelegate):
                delegate.refuse(BodyTooSlow())
            if self.stream is not None:
                self.stream.close()
            return False
        return True

    @override
    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        # The usual head, one with Content-Length, is built in one piece.
        self._consumer.mid_reply = True
        request = self._request_start_line
        length = digits(headers.get("Content-Length") or "")
        if (
            request.version != "HTTP/1.1"
            or request.method == "HEAD"
            or length is None
            or start_line[1] in (204, 304)
            or self._disconnect_on_finish
        ):
            return super().write_headers(start_line, headers, chunk)
        assert isinstance(start_line, ResponseStartLine)  # noqa: S101 - a server writes nothing else
        self._response_start_line = start_line
        self._expected_content_remaining = length
        lines = [f"{name}: {value}\r\n" for name, values in headers._as_list.items() for value in values]
        head = f"HTTP/1.1 {start_line[1]} {start_line[2]}\r\n{''.join(lines)}\r\n"
        if head.count("\n") != len(lines) + 2 or head.count("\r") != len(lines) + 2:
            raise ValueError("a header field contains CR or LF")
        data = head.encode("latin-1")
        return self._sent(data + self._format_chunk(chunk) if chunk else data)

    @override
    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        if not chunk and self._pending_write is not None and self._pending_write.done():
            return self._pending_write
        return super().write(chunk)

    @override
    def finish(self) -> None:
        # Tornado closes the stream when the reply was shorter than its Content-Length: that stays a cut.
        if not self._expected_content_remaining:
            self._consumer.mid_reply = False
        super().finish()

    def _sent(self, data: bytes) -> "asyncio.Future[None]":
        if self.stream.closed():
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(StreamClosedError())
            failed.exception()
            self._write_future = failed
            return failed
        written = self._pending_write = self.stream.write(data)
        if written.done():
            return written
        future = self._write_future = asyncio.get_running_loop().create_future()
        written.add_done_callback(self._on_write_complete)
        return future
