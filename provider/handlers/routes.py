"""One table of all routes, and the router over it: one dictionary look-up per request."""

import asyncio
import re
import time
from asyncio import Future
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application

from provider.admission.entry import Admission, Ticket
from provider.errors import ProviderError, TooManyRequests
from provider.handlers.bad_request import refusal_of_unread
from provider.handlers.base import Endpoint, Frame
from provider.handlers.fallbacks import (
    MergedPathEndpoint,
    MethodNotAllowedEndpoint,
    NotFoundEndpoint,
    OptionsEndpoint,
    RefusedEndpoint,
)
from provider.http1.connection import RefusingDelegate
from provider.http1.heads import Request
from provider.http1.streams import AnswersAtOnce

SLASHES = re.compile("/{2,}")
# What a refused client is told to wait at least: the least that `Retry-After` can say.
REFUSED_AT_ONCE_SECONDS = 1.0

# `serviceEndpoints` of `GET /` (`provider-api.md` section 3): clients look routes up by name. The compute routes are
# listed even where compute is off.
SERVICE_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "nonce": ("GET", "/api/services/nonce"),
    "fileinfo": ("POST", "/api/services/fileinfo"),
    "initialize": ("GET", "/api/services/initialize"),
    "download": ("GET", "/api/services/download"),
    "encrypt": ("POST", "/api/services/encrypt"),
    "decrypt": ("POST", "/api/services/decrypt"),
    "create_auth_token": ("GET", "/api/services/createAuthToken"),
    "delete_auth_token": ("DELETE", "/api/services/deleteAuthToken"),
    "computeStart": ("POST", "/api/services/compute"),
    "computeStop": ("PUT", "/api/services/compute"),
    "computeStatus": ("GET", "/api/services/compute"),
    "computeDelete": ("DELETE", "/api/services/compute"),
    "computeResult": ("GET", "/api/services/computeResult"),
    "computeEnvironments": ("GET", "/api/services/computeEnvironments"),
    "initializeCompute": ("POST", "/api/services/initializeCompute"),
    "validateContainer": ("POST", "/api/services/validateContainer"),
}

# Names that ocean.js 8 looks up besides (`ocean-node-compat.md` section 3.2); without them it throws. One of ocean.py's
# own tests counts 16 names and would count these too; no call of it does.
NODE_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "generateAuthToken": ("POST", "/api/services/auth/token"),
    "invalidateAuthToken": ("POST", "/api/services/auth/token/invalidate"),
    "directCommand": ("POST", "/directCommand"),
}


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, the endpoint that answers, and what that endpoint needs."""

    method: str
    path: str
    endpoint: type[Endpoint]
    needs: Mapping[str, Any] = field(default_factory=dict)


class RouteTable(HTTPServerConnectionDelegate):
    """Finds the endpoint of a request. Any number of leading slashes counts as one, without redirect."""

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado's hook: who hears of the next request of a connection."""
        return _Reader(self, server_conn, request_conn)

    def __init__(
        self, application: Application, frame: Frame, routes: Sequence[Route], admission: Admission | None = None
    ) -> None:
        self.application = application
        self.frame = frame
        self.admission = admission
        self.routes = tuple(routes)
        self._paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._paths.setdefault(route.path, {})[route.method] = route

    def find(self, request: HTTPServerRequest) -> tuple[type[Endpoint], dict[str, Any]]:
        """The endpoint that answers this request, and what it needs."""
        path = request.path
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        methods = self._paths.get(path)
        route = methods.get(request.method or "") if methods is not None else None
        if route is not None:
            return route.endpoint, {"frame": self.frame, **route.needs}
        if methods is not None:
            allowed = ", ".join(sorted({*methods, "OPTIONS"}))
            other = OptionsEndpoint if request.method == "OPTIONS" else MethodNotAllowedEndpoint
            return other, {"frame": self.frame, "allowed": allowed}
        if path == "*" and request.method == "OPTIONS":
            return OptionsEndpoint, {"frame": self.frame, "allowed": self._every_method()}
        merged = SLASHES.sub("/", path)
        if merged in self._paths:
            return MergedPathEndpoint, {"frame": self.frame, "path": merged}
        return NotFoundEndpoint, {"frame": self.frame}

    def _every_method(self) -> str:
        """Of the server as a whole, which `OPTIONS *` asks about (RFC 9110 section 9.3.7)."""
        return ", ".join(sorted({"OPTIONS", *(route.method for route in self.routes)}))


def _look_at(done: asyncio.Task[None]) -> None:
    # What escapes an endpoint is a fault of ours: the loop's own report tells it.
    if not done.cancelled():
        done.result()


def _let_go(handler: Endpoint) -> None:
    """When a client leaves in its body, Tornado stops without `finish`; what the endpoint then holds would hold it."""
    handler.request._body_future = _NO_BODY
    handler._break_cycles()


class _NoBody:
    """A body that was read: what a request without one waits for."""

    def __await__(self) -> Iterator[None]:
        return iter(())

    def done(self) -> bool:
        """It was read: Tornado asks when a client leaves, and would else tell the endpoint nothing of it."""
        return True


# Tornado has a future there; it waits for it, and asks whether it is done.
_NO_BODY = cast("Future[None]", _NoBody())


class _Reader(RefusingDelegate):
    """Hands a request to its endpoint as it arrives, as Tornado's own router does, but leaves the query unparsed.

    Endpoints read it by rules of their own (`params.request_data`), so Tornado's parsing would be done for nothing.
    """

    def __init__(self, table: RouteTable, server_connection: object, connection: HTTPConnection) -> None:
        self._table = table
        self._server_connection = server_connection
        self._connection = connection
        self._handler: Endpoint | None = None
        self._body: Future[None] | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """As in the base class. Raises HTTPInputError for a request that Tornado answers with 400."""
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - a server receives nothing else
        request = Request(start_line, headers, self._connection, self._server_connection)
        endpoint, needs = self._table.find(request)
        prepared: Future[None] | None = None
        admission = self._table.admission
        ticket = admission.enter(endpoint.endpoint, request) if admission is not None else None
        if isinstance(ticket, ProviderError):
            needs = {"frame": self._table.frame, "error": ticket, "endpoint": endpoint.endpoint}
            endpoint, ticket = RefusedEndpoint, None
            if needs["endpoint"] == "download":
                self._refuse_further(needs["error"])
        self._handler = handler = self._made(endpoint, request, needs, ticket)
        if "Content-Length" in headers or "Transfer-Encoding" in headers:
            self._body = request._body_future = Future()
            # Tornado declares it as None and gives it a future itself.
            handler._prepared_future = prepared = Future()  # type: ignore[assignment]
            if ticket is not None:
                ticket.await_body()
        else:
            request._body_future = _NO_BODY
        task = handler.start(ticket)
        task.add_done_callback(_look_at)
        if self._body is not None:
            task.add_done_callback(lambda _: _let_go(handler))
        return prepared

    def _made(
        self, endpoint: type[Endpoint], request: Request, needs: Mapping[str, Any], ticket: Ticket | None
    ) -> Endpoint:
        """The endpoint for this request. Until it has started, nobody else gives the ticket back."""
        try:
            return endpoint(self._table.application, request, **needs)
        except BaseException:
            if ticket is not None:
                ticket.leave()
            raise

    def _refuse_further(self, error: ProviderError) -> None:
        """A client that was told to wait is refused at once if it does not; a proxy's connection is of many.

        Only downloads are: who has to wait with something else may have requests left for them.
        """
        stream = getattr(self._connection, "stream", None)
        if isinstance(error, TooManyRequests) and error.retry_after_seconds and isinstance(stream, AnswersAtOnce):
            context: Any = getattr(self._connection, "context", None)
            if self._table.admission is not None and self._table.admission.clients.of_peer(context.remote_ip):
                stream.refused_until = time.monotonic() + REFUSED_AT_ONCE_SECONDS

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """As in the base class."""
        if self._handler is not None:
            self._handler.data_received(chunk)
        # Others first: what a fast client sends is there without waiting, piece after piece.
        return asyncio.sleep(0)

    def finish(self) -> None:
        """As in the base class."""
        if self._body is not None and not self._body.done():
            self._body.set_result(None)

    def refuse(self, error: ProviderError) -> bytes:
        """As in the base class."""
        if self._handler is None:
            return refusal_of_unread(self._table.frame, error)
        self._handler.give_up(error)
        return b""

    def on_connection_close(self) -> None:
        """As in the base class."""
        if self._handler is not None:
            self._handler.on_connection_close()
