"""The route table and the router: one dictionary lookup per request."""

import re
import time
from collections.abc import Callable, Mapping, Sequence

from tornado.web import Application

from provider.admission.entry import Admission, Ticket
from provider.errors import ProviderError, TooManyRequests
from provider.handlers.base import BaseEndpoint, D, Endpoint, Frame
from provider.handlers.fallbacks import (
    MergedPathEndpoint,
    MethodNotAllowedEndpoint,
    NotFoundEndpoint,
    OptionsEndpoint,
    Refusal,
    RefusedEndpoint,
    refusal_of_unread,
)
from provider.http1.dispatch import Dispatcher
from provider.http1.heads import Request
from provider.http1.streams import AnswersAtOnce
from provider.override import override

SLASHES = re.compile("/{2,}")
# The shortest pause that a refused client is asked for: the least that `Retry-After` can say.
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

# ocean.js 8 also looks up these names (`ocean-node-compat.md` section 3.2) and throws without them. One of ocean.py's
# own tests counts 16 names and would count these too, but no call of ocean.py does.
NODE_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "generateAuthToken": ("POST", "/api/services/auth/token"),
    "invalidateAuthToken": ("POST", "/api/services/auth/token/invalidate"),
    "directCommand": ("POST", "/directCommand"),
}

# Only with a policy server: clients conclude from the name that there is one.
POLICY_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "initializePSVerification": ("POST", "/api/services/initializePSVerification"),
}

# Only with an operator service: without these names ocean.js 8 returns null and no reason.
COMPUTE_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "freeCompute": ("POST", "/api/services/freeCompute"),
    "computeStreamableLogs": ("GET", "/api/services/computeStreamableLogs"),
}

# Neither Provider 2.1 nor ocean-node has these.
LINK_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "createLinks": ("POST", "/api/services/links"),
    "revokeLinks": ("DELETE", "/api/services/links"),
}


class Route:
    """A method and a path, the endpoint that answers, and the dependencies of that endpoint.

    A path such as `/d/{token}/{name}` matches all paths that begin like it; the endpoint reads the rest.
    """

    __slots__ = ("answer", "deps", "endpoint", "method", "path")

    def __init__(self, method: str, path: str, endpoint: type[Endpoint[D]], deps: D) -> None:
        self.method, self.path, self.endpoint, self.deps = method, path, endpoint, deps

        def answer(application: Application, request: Request, frame: Frame) -> BaseEndpoint:
            return endpoint(application, request, frame, deps)

        self.answer: Callable[[Application, Request, Frame], BaseEndpoint] = answer
        """Makes the endpoint for one request."""


NOT_FOUND = Route("", "", NotFoundEndpoint, None)


class RouteTable(Dispatcher):
    """Finds the endpoint of a request. Any number of leading slashes counts as one, without redirect."""

    def __init__(
        self, application: Application, frame: Frame, routes: Sequence[Route], admission: Admission | None = None
    ) -> None:
        self.application = application
        self.frame = frame
        self.admission = admission
        self.routes = tuple(routes)
        self._paths: dict[str, dict[str, Route]] = {}
        self._families: dict[str, dict[str, Route]] = {}
        for route in routes:
            beginning, brace, _ = route.path.partition("{")
            table = self._families if brace else self._paths
            table.setdefault(beginning, {})[route.method] = route

    def find(self, method: str, path: str) -> Route:
        """Return the route of this request; if the table has none, one that refuses."""
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        methods = self._paths.get(path) or self._family(path)
        if methods is not None:
            return methods.get(method) or _without_method(method, methods)
        if path == "*" and method == "OPTIONS":
            return Route(method, path, OptionsEndpoint, self._every_method())
        merged = SLASHES.sub("/", path)
        if merged in self._paths:
            return Route(method, path, MergedPathEndpoint, merged)
        return NOT_FOUND

    def _family(self, path: str) -> dict[str, Route] | None:
        """Return the methods of the paths that begin like this one."""
        return next((methods for beginning, methods in self._families.items() if path.startswith(beginning)), None)

    def _every_method(self) -> str:
        """Return all methods of the server, for `OPTIONS *` (RFC 9110 section 9.3.7)."""
        return ", ".join(sorted({"OPTIONS", *(route.method for route in self.routes)}))

    @override
    def open(self, request: Request, *, has_body: bool) -> BaseEndpoint:
        route = self.find(request.method or "", request.path)
        name, ticket = route.endpoint.endpoint, None
        if self.admission is not None:
            entered = self.admission.enter(name, request)
            if isinstance(entered, ProviderError):
                if name in ("download", "link"):
                    self._refuse_further(request, entered)
                route = Route(route.method, route.path, RefusedEndpoint, Refusal(entered, name))
            else:
                ticket = entered
        handler = self._made(route, request, ticket)
        if ticket is not None:
            handler.ticket = ticket
            if has_body:
                ticket.await_body()
        return handler

    @override
    def answer_unread(self, error: ProviderError) -> bytes:
        return refusal_of_unread(self.frame, error)

    def _made(self, route: Route, request: Request, ticket: Ticket | None) -> BaseEndpoint:
        """Make the endpoint of this request. If it never starts, the ticket is given back here."""
        try:
            return route.answer(self.application, request, self.frame)
        except BaseException:
            if ticket is not None:
                ticket.leave()
            raise

    def _refuse_further(self, request: Request, error: ProviderError) -> None:
        """Refuse a client at once that does not wait as it was asked to.

        This applies to downloads only: a client that must wait with another request may still be allowed downloads. It
        does not apply to the connection of a proxy, which serves many clients.
        """
        stream = getattr(request.connection, "stream", None)
        if (
            isinstance(error, TooManyRequests)
            and error.retry_after_seconds
            and isinstance(stream, AnswersAtOnce)
            and self.admission is not None
            and self.admission.clients.of_peer(request.remote_ip or "")
        ):
            stream.refused_until = time.monotonic() + REFUSED_AT_ONCE_SECONDS


def _without_method(method: str, methods: Mapping[str, Route]) -> Route:
    """Return the route for a path that exists with other methods."""
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))
    other = OptionsEndpoint if method == "OPTIONS" else MethodNotAllowedEndpoint
    return Route(method, "", other, allowed)
