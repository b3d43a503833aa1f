"""Answers outside the service routes: unknown path, wrong method, OPTIONS, doubled slashes."""

from typing import Any

from provider.errors import MethodNotAllowed, ProviderError, RouteNotFound
from provider.handlers.base import ALL_METHODS, Endpoint, Frame
from provider.wire.text import digits

# What a script may send to any route: ranges and their conditions, and a token in either place. Whatever else a browser
# asks for is allowed too: without credentials of the browser, a header opens nothing.
SENDABLE = "Range, If-Range, If-Match, If-None-Match, Authorization, AuthToken"

# A body of a refused request up to this length is read to its end.
SWALLOWED_BYTES = 64 << 10


class NotFoundEndpoint(Endpoint):
    """No such path: 404."""

    endpoint = "not_found"

    async def handle(self) -> None:
        """Always refuse."""
        raise RouteNotFound

    def write_error(self, *_: int, **__: Any) -> None:
        """As `Endpoint.write_error`: there is nothing here for any method."""
        self.set_header("Connection", "close")
        self.reply_error(RouteNotFound())


class MethodNotAllowedEndpoint(Endpoint):
    """The path exists, the method does not: 405 with `Allow`. Nothing is consumed (a HEAD spends no nonce)."""

    endpoint = "method_not_allowed"

    def initialize(self, *, frame: Frame, allowed: str) -> None:
        """`allowed` is the value of the `Allow` header."""
        super().initialize(frame=frame)
        self._allowed = allowed

    async def handle(self) -> None:
        """Always refuse."""
        self.set_header("Allow", self._allowed)
        raise MethodNotAllowed

    def write_error(self, status_code: int, **more: Any) -> None:
        """As `Endpoint.write_error`, with the header that a 405 must have (RFC 9110 section 15.5.6)."""
        self.set_header("Allow", self._allowed)
        super().write_error(status_code, **more)


class OptionsEndpoint(Endpoint):
    """OPTIONS, and with it CORS preflight: 200, empty."""

    endpoint = "options"

    def initialize(self, *, frame: Frame, allowed: str) -> None:
        """`allowed` is the value of the `Allow` header."""
        super().initialize(frame=frame)
        self._allowed = allowed

    async def handle(self) -> None:
        """Tell the methods, and the headers that scripts may send."""
        self.set_header("Allow", self._allowed)
        if "Access-Control-Request-Method" in self.request.headers:
            self.set_header("Access-Control-Allow-Methods", ALL_METHODS)
            wanted = self.request.headers.get("Access-Control-Request-Headers")
            self.set_header("Access-Control-Allow-Headers", wanted or SENDABLE)


class MergedPathEndpoint(Endpoint):
    """A path with doubled slashes inside: 308 to the merged path, method and body kept (RFC 9110 section 15.4.9)."""

    endpoint = "merged_path"

    def initialize(self, *, frame: Frame, path: str) -> None:
        """`path` is the merged path; it starts with exactly one slash, so it cannot name another host."""
        super().initialize(frame=frame)
        self._path = path

    async def handle(self) -> None:
        """Redirect."""
        query = self.request.query
        self.set_status(308)
        self.set_header("Location", f"{self._path}?{query}" if query else self._path)


class RefusedEndpoint(Endpoint):
    """A request that was not let in: answered before its body is read, whatever it asks."""

    def initialize(self, *, frame: Frame, error: ProviderError, endpoint: str) -> None:
        """`endpoint` would have answered it."""
        super().initialize(frame=frame)
        self._error = error
        self._asked = endpoint

    def prepare(self) -> None:
        """A short body is read and dropped, so that the connection can be kept; a long one may end it."""
        self.endpoint = self._asked  # type: ignore[misc]
        headers = self.request.headers
        announced = headers.get("Content-Length", "")
        length_bytes = digits(announced)
        if not announced and "Transfer-Encoding" not in headers:
            self.reply_error(self._error)
            self.finish()
        elif length_bytes is not None and length_bytes <= SWALLOWED_BYTES and "Expect" not in headers:
            self._refused = True
            self.reply_error(self._error)
            self.flush()
        else:
            self._refuse_body(self._error)
