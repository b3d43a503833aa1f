"""Heads of requests and replies on Tornado's types, with faster paths for plain ones.

Tornado handles anything unusual, and decides what to refuse. This module relies on undocumented parts of Tornado;
`tests/contract/test_http1.py` fails if a release changes them.
"""

import re
import time
from collections.abc import Iterable, Set
from functools import lru_cache
from typing import Any

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPServerRequest,
    RequestStartLine,
    format_timestamp,
)

from provider.override import override
from provider.wire.head import MAX_KEPT_CHARS, plain_lines
from provider.wire.text import TOKEN

# Fields that announce a body (RFC 9112 section 6).
BODY_FIELDS = frozenset({"Content-Length", "Transfer-Encoding"})
_MAX_HOST_CHARS = 255
# The form in which proxies forward requests, without userinfo and fragment (RFC 9110 sections 4.2.4 and 7.1).
_ABSOLUTE_FORM = re.compile(r"https?://([^/?#@]+)([^#]*)", re.IGNORECASE)


class Fields(HTTPHeaders):
    """Header fields known to be valid. `lines`: by normalised name. A missing field costs no exception."""

    def __init__(self, lines: dict[str, list[str]]) -> None:
        self._as_list = lines
        self._combined_cache: dict[str, str] = {}

    @override
    def get(self, name: str, default: Any = None) -> Any:
        values = self._as_list.get(name) or self._as_list.get(_normal_name(name) or "")
        return ",".join(values) if values else default

    def put_all(self, fields: Iterable[tuple[str, str]]) -> None:
        """Replace each of these fields. The values are known to be valid."""
        if self._combined_cache:
            self._combined_cache.clear()
        lines = self._as_list
        for name, value in fields:
            lines[_normal_name(name) or name] = [value]

    @override
    def copy(self) -> HTTPHeaders:
        return Fields({name: list(values) for name, values in self._as_list.items()})


NOTHING: dict[str, list[Any]] = {}
"""Arguments and files of every request. Nobody adds to it."""
NO_FIELDS = Fields({})
"""Of a head that was dropped. Nobody adds to it."""


def has_any(headers: HTTPHeaders, names: Set[str]) -> bool:
    """True if at least one of the fields is there. `names`: in the spelling of `HTTPHeaders`."""
    return not headers._as_list.keys().isdisjoint(names)


class _Today:
    """The last formatted second, since many replies share one."""

    second = -1
    text = ""


def http_date() -> str:
    """The current time as a `Date` field."""
    second = int(time.time())
    if second != _Today.second:
        _Today.second, _Today.text = second, format_timestamp(second)
    return _Today.text


# Names from known clients. Names from strangers may evict some, which return at once.
@lru_cache(maxsize=512)
def _normal_name(name: str) -> str | None:
    """Name in the spelling of `HTTPHeaders`; None if it is not a token."""
    return "-".join(word.capitalize() for word in name.split("-")) if TOKEN.fullmatch(name) else None


def parse_plain_head(data: bytes) -> tuple[RequestStartLine, Fields] | None:
    """Parse a plain head into start line and fields. None for any other: Tornado judges tabs, obs-text and controls."""
    lines = plain_lines(data)
    if lines is None or not lines[0]:
        return None
    fields: dict[str, list[str]] = {}
    for line in lines[1:]:
        raw_name, colon, value = line.partition(":")
        name = _normal_name(raw_name) if len(raw_name) <= MAX_KEPT_CHARS else None
        if name is None or not colon:
            return None
        if name in fields:
            fields[name].append(value.strip(" "))
        else:
            fields[name] = [value.strip(" ")]
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.partition(" ")
    if version != "HTTP/1.1" or not target or len(method) > MAX_KEPT_CHARS or _normal_name(method) is None:
        return None
    return RequestStartLine(method, target, version), Fields(fields)


# A server has few hosts.
@lru_cache(maxsize=256)
def _host_name(host: str) -> str:
    """Host without port, as in Tornado's request. Raises HTTPInputError."""
    probe = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=HTTPHeaders({"Host": host}))
    return probe.host_name


def _origin_form(method: str, rest: str) -> str:
    """Path and query after the host of an absolute target; `*` for OPTIONS without either."""
    if not rest and method == "OPTIONS":
        return "*"
    return rest if rest.startswith("/") else f"/{rest}"


class Request(HTTPServerRequest):
    """A request whose query is not parsed before the endpoint does it. Raises HTTPInputError like the base class."""

    def __init__(
        self, start_line: RequestStartLine, headers: HTTPHeaders, connection: HTTPConnection, server_connection: object
    ) -> None:
        self.method, self.uri, self.version = start_line
        self.headers = headers
        host = headers.get("Host")
        if host is None and self.version != "HTTP/1.0":
            raise HTTPInputError("Missing Host header")
        if not self.uri.startswith("/"):
            absolute = _ABSOLUTE_FORM.fullmatch(self.uri)
            if absolute is not None:
                # RFC 9112 section 3.2.2: the host of the target overrides the field.
                host = headers["Host"] = absolute[1]
                self.uri = _origin_form(self.method, absolute[2])
        self.path, _, self.query = self.uri.partition("?")
        self.host = "127.0.0.1" if host is None else host
        self.host_name = (_host_name if len(self.host) <= _MAX_HOST_CHARS else _host_name.__wrapped__)(self.host)
        self.body = b""
        # Endpoints read none of them; Tornado expects that they exist.
        self.arguments = self.query_arguments = self.body_arguments = self.files = NOTHING
        context: Any = getattr(connection, "context", None)
        self.remote_ip = getattr(context, "remote_ip", None)
        self.protocol = getattr(context, "protocol", "http")
        self.connection, self.server_connection = connection, server_connection
        self._start_time, self._finish_time = time.time(), None
