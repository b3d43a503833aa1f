"""From a request's head to its handler, as Tornado's own router does it, but without parsing the query.

Endpoints read the query by rules of their own, so Tornado's parsing would be wasted.
"""

import asyncio
from asyncio import Future
from collections.abc import Awaitable

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from provider.errors import ProviderError
from provider.http1.connection import RefusingDelegate, report
from provider.http1.handler import HttpHandler
from provider.http1.heads import BODY_FIELDS, Request, has_any
from provider.override import override


class Dispatcher(HTTPServerConnectionDelegate):
    """Gives each request of a connection to a handler, which a subclass picks."""

    @override
    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _Reader(self, server_conn, request_conn)

    def open(self, request: Request, *, has_body: bool) -> HttpHandler:
        """The handler of this request."""
        raise NotImplementedError

    def answer_unread(self, error: ProviderError) -> bytes:
        """A whole reply to bytes that are no request."""
        raise NotImplementedError


class _Reader(RefusingDelegate):
    """Passes a request on to its handler as it arrives."""

    __slots__ = ("_body", "_connection", "_dispatcher", "_handler", "_server_connection")

    def __init__(self, dispatcher: Dispatcher, server_connection: object, connection: HTTPConnection) -> None:
        self._dispatcher = dispatcher
        self._server_connection = server_connection
        self._connection = connection
        self._handler: HttpHandler | None = None
        self._body: Future[None] | None = None

    @override
    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - a server receives nothing else
        request = Request(start_line, headers, self._connection, self._server_connection)
        has_body = has_any(headers, BODY_FIELDS)
        self._handler = handler = self._dispatcher.open(request, has_body=has_body)
        prepared: Future[None] | None = None
        if has_body:
            self._body, prepared = handler.expect_body()
        else:
            handler.expect_no_body()
        task = handler.start()
        task.add_done_callback(report)
        if has_body:
            task.add_done_callback(lambda _: handler.drop_references())
        return prepared

    @override
    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._handler is not None:
            self._handler.data_received(chunk)
        # Others first: the pieces of a fast client are all there without a wait.
        return asyncio.sleep(0)

    @override
    def finish(self) -> None:
        if self._body is not None and not self._body.done():
            self._body.set_result(None)

    @override
    def refuse(self, error: ProviderError) -> bytes:
        if self._handler is None:
            return self._dispatcher.answer_unread(error)
        self._handler.give_up(error)
        return b""

    @override
    def on_connection_close(self) -> None:
        if self._handler is not None:
            self._handler.on_connection_close()
