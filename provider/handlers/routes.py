"""One table of all routes, and the router over it: one dictionary look-up per request."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.routing import Router
from tornado.web import Application

from provider.handlers.base import Endpoint, Frame
from provider.handlers.fallbacks import (
    MergedPathEndpoint,
    MethodNotAllowedEndpoint,
    NotFoundEndpoint,
    OptionsEndpoint,
)

SLASHES = re.compile("/{2,}")

# `serviceEndpoints` of `GET /`, exactly these 16 (`provider-api.md` section 3): clients look routes up by name, and
# ocean.py's tests compare the count. The compute routes are listed even where compute is off.
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


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, the endpoint that answers, and what that endpoint needs."""

    method: str
    path: str
    endpoint: type[Endpoint]
    needs: Mapping[str, Any] = field(default_factory=dict)


class RouteTable(Router):
    """Finds the endpoint of a request. Any number of leading slashes counts as one, without redirect."""

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado's hook: who hears of the next request of a connection."""
        return _Reader(self, server_conn, request_conn)

    def __init__(self, application: Application, frame: Frame, routes: Sequence[Route]) -> None:
        self._application = application
        self._frame = frame
        self._paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._paths.setdefault(route.path, {})[route.method] = route

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate:
        """Tornado's hook: the delegate that reads and answers this request."""
        path = request.path
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        methods = self._paths.get(path)
        route = methods.get(request.method or "") if methods is not None else None
        if route is not None:
            return self._delegate(request, route.endpoint, dict(route.needs))
        if methods is not None:
            allowed = ", ".join(sorted({*methods, "OPTIONS"}))
            other = OptionsEndpoint if request.method == "OPTIONS" else MethodNotAllowedEndpoint
            return self._delegate(request, other, {"allowed": allowed})
        merged = SLASHES.sub("/", path)
        if merged in self._paths:
            return self._delegate(request, MergedPathEndpoint, {"path": merged})
        return self._delegate(request, NotFoundEndpoint, {})

    def _delegate(
        self, request: HTTPServerRequest, endpoint: type[Endpoint], needs: dict[str, Any]
    ) -> HTTPMessageDelegate:
        return self._application.get_handler_delegate(request, endpoint, {"frame": self._frame, **needs})


class _Reader(HTTPMessageDelegate):
    """Hands a request to its endpoint as it arrives, as Tornado's own router does, but leaves the query unparsed.

    Endpoints read it by rules of their own (`params.request_data`), so Tornado's parsing would be done for nothing.
    """

    def __init__(self, table: RouteTable, server_connection: object, connection: HTTPConnection) -> None:
        self._table = table
        self._server_connection = server_connection
        self._connection = connection
        self._delegate: HTTPMessageDelegate | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """As in the base class. Raises HTTPInputError for a request that Tornado answers with 400."""
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - a server receives nothing else
        path, _, query = start_line.path.partition("?")
        request = HTTPServerRequest(
            start_line=start_line._replace(path=path),
            headers=headers,
            connection=self._connection,
            server_connection=self._server_connection,
        )
        request.uri, request.query = start_line.path, query
        self._delegate = self._table.find_handler(request)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """As in the base class."""
        return self._delegate.data_received(chunk) if self._delegate is not None else None

    def finish(self) -> None:
        """As in the base class."""
        if self._delegate is not None:
            self._delegate.finish()

    def on_connection_close(self) -> None:
        """As in the base class."""
        if self._delegate is not None:
            self._delegate.on_connection_close()
