"""One table of all routes, and the router over it: one dictionary look-up per request."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
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

    def __init__(self, application: Application, frame: Frame, routes: Sequence[Route]) -> None:
        self._application = application
        self._frame = frame
        self._paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._paths.setdefault(route.path, {})[route.method] = route

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
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
