"""Answers outside the services: unknown path, wrong method, OPTIONS, doubled slashes, refusals, malformed requests."""

from dataclasses import dataclass
from random import getrandbits
from typing import Any

import orjson

from provider.errors import MethodNotAllowed, ProviderError, RouteNotFound
from provider.handlers.base import ALL_METHODS, Endpoint, Frame
from provider.override import override
from provider.wire.text import digits

# Headers that a script may send to any route: ranges, their conditions, and both headers of a token. Other headers that
# a browser asks for are allowed too: without credentials of the browser, a header gives access to nothing.
SENDABLE = "Range, If-Range, If-Match, If-None-Match, Authorization, AuthToken"

# A body of a refused request up to this length is read to its end.
SWALLOWED_BYTES = 64 << 10


class NotFoundEndpoint(Endpoint[None]):
    """Answers 404 for an unknown path."""

    endpoint = "not_found"

    @override
    async def handle(self) -> None:
        raise RouteNotFound

    @override
    def write_error(self, *_: int, **__: Any) -> None:
        # Whatever the method was: no path, no 405.
        self.set_header("Connection", "close")
        self.reply_error(RouteNotFound())


class MethodNotAllowedEndpoint(Endpoint[str]):
    """Answers 405 if the path has other methods. Nothing is consumed: a HEAD spends no nonce.

    `deps` is the value of `Allow`.
    """

    endpoint = "method_not_allowed"

    @override
    async def handle(self) -> None:
        self.set_header("Allow", self.deps)
        raise MethodNotAllowed

    @override
    def write_error(self, status_code: int, **more: Any) -> None:
        # A 405 must have it (RFC 9110 section 15.5.6).
        self.set_header("Allow", self.deps)
        super().write_error(status_code, **more)


class OptionsEndpoint(Endpoint[str]):
    """Answers OPTIONS and CORS preflights: 200 without a body, the methods, and the headers that scripts may send.

    `deps` is the value of `Allow`.
    """

    endpoint = "options"

    @override
    async def handle(self) -> None:
        self.set_header("Allow", self.deps)
        if "Access-Control-Request-Method" in self.request.headers:
            self.set_header("Access-Control-Allow-Methods", ALL_METHODS)
            wanted = self.request.headers.get("Access-Control-Request-Headers")
            self.set_header("Access-Control-Allow-Headers", wanted or SENDABLE)


class MergedPathEndpoint(Endpoint[str]):
    """Redirects a path with doubled slashes to the merged path: 308 keeps method and body (RFC 9110 section 15.4.9).

    `deps` is the merged path. It starts with exactly one slash, so it cannot name another host.
    """

    endpoint = "merged_path"

    @override
    async def handle(self) -> None:
        query = self.request.query
        self.set_status(308)
        self.set_header("Location", f"{self.deps}?{query}" if query else self.deps)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error that refuses a request, and the name of the endpoint that would have answered."""

    error: ProviderError
    endpoint: str


class RefusedEndpoint(Endpoint[Refusal]):
    """Refuses a request that was not admitted, before its body is read."""

    @override
    def prepare(self) -> None:
        # A short body is read and dropped, so that the connection can be kept. A long one may end it.
        self.endpoint = self.deps.endpoint
        error = self.deps.error
        headers = self.request.headers
        announced = headers.get("Content-Length", "")
        length_bytes = digits(announced)
        if not announced and "Transfer-Encoding" not in headers:
            self.reply_error(error)
            self.finish()
        elif length_bytes is not None and length_bytes <= SWALLOWED_BYTES and "Expect" not in headers:
            self._refused = True
            self.reply_error(error)
            self.flush()
        else:
            self._refuse_body(error)


def refusal_of_unread(frame: Frame, error: ProviderError) -> bytes:
    """Return a whole reply for what is no HTTP request. The connection ends after it.

    It is counted and logged as a request of the endpoint `unknown`.
    """
    request_id = f"{getrandbits(64):016x}"
    frame.metrics.requests.answer("unknown", error.http_status, 0.0)
    frame.metrics.requests.fail(error.code)
    if frame.access_log.write is not None:
        facts = {"request_id": request_id, "endpoint": "unknown", "status": error.http_status, "outcome": "refused"}
        frame.access_log.write({**facts, "seconds": 0.0, "code": error.code})
    body = orjson.dumps(error.body(), option=orjson.OPT_APPEND_NEWLINE)
    head = (
        f"HTTP/1.1 {error.http_status} Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {request_id}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
