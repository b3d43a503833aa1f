"""Heads of requests and replies over Tornado's types: the plain ones in short ways.

What is out of the ordinary is left to Tornado, which also decides what is refused. This leans on what Tornado
does not document; `tests/contract/test_http1.py` fails when a release moves the ground.
"""

import re
import time
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

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
# Tabs, obs-text and controls are Tornado's to judge. Deleting what is usual costs a tenth of a search for the rest.
_USUAL = bytes(range(0x20, 0x7F)) + b"\r\n"
# Longer ones are not remembered: of hostile ones that would be megabytes.
_MAX_KEPT_CHARS = 64
_MAX_HOST_CHARS = 255
# As proxies send requests on. Neither userinfo nor a fragment may stand there (RFC 9110 sections 4.2.4 and 7.1).
_ABSOLUTE_FORM = re.compile(r"https?://([^/?#@]+)([^#]*)", re.IGNORECASE)


class Fields(HTTPHeaders):
    """Header fields that are known to be valid: `lines` by normalised name. A missing one costs no exception."""

    def __init__(self, lines: dict[str, list[str]]) -> None:
        self._as_list = lines
        self._combined_cache: dict[str, str] = {}

    @override
    def get(self, name: str, default: Any = None) -> Any:
        values = self._as_list.get(name) or self._as_list.get(_normal_name(name) or "")
        return ",".join(values) if values else default

    @override
    def copy(self) -> HTTPHeaders:
        return Fields({name: list(values) for name, values in self._as_list.items()})


class _Today:
    """The last second formatted: replies come many in one."""

    second = -1
    text = ""


def http_date() -> str:
    """Now, as a `Date` field tells it."""
    second = int(time.time())
    if second != _Today.second:
        _Today.second, _Today.text = second, format_timestamp(second)
    return _Today.text


# The names of known clients; a stranger's many names push nothing out that would not be back at once.
@lru_cache(maxsize=512)
def _normal_name(name: str) -> str | None:
    """The name as `HTTPHeaders` holds it, None when it is no token."""
    return "-".join(word.capitalize() for word in name.split("-")) if _TOKEN.fullmatch(name) else None


def parse_plain_head(data: bytes) -> tuple[RequestStartLine, Fields] | None:
    """Start line and fields of a head in printable ASCII with CRLF at each line's end; None for any other head."""
    if data.translate(None, _USUAL):
        return None
    text = data.decode("ascii")
    lines = text.split("\r\n")
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends or ends < 2 or lines[-2] or not lines[0]:
        return None
    fields: dict[str, list[str]] = {}
    for line in lines[1:-2]:
        raw_name, colon, value = line.partition(":")
        name = _normal_name(raw_name) if len(raw_name) <= _MAX_KEPT_CHARS else None
        if name is None or not colon:
            return None
        if name in fields:
            fields[name].append(value.strip(" "))
        else:
            fields[name] = [value.strip(" ")]
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.partition(" ")
    if version != "HTTP/1.1" or not target or len(method) > _MAX_KEPT_CHARS or _normal_name(method) is None:
        return None
    return RequestStartLine(method, target, version), Fields(fields)


# The hosts of a server are few.
@lru_cache(maxsize=256)
def _host_name(host: str) -> str:
    """Host without port, as Tornado's request tells it. Raises HTTPInputError."""
    probe = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=HTTPHeaders({"Host": host}))
    return probe.host_name


def _origin_form(method: str, rest: str) -> str:
    """Path and query of what follows the host in an absolute target; `*` for OPTIONS without either."""
    if not rest and method == "OPTIONS":
        return "*"
    return rest if rest.startswith("/") else f"/{rest}"


class Request(HTTPServerRequest):
    """A request whose query nobody parses before the endpoint does. Raises HTTPInputError as the base class does."""

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
                # RFC 9112 section 3.2.2: the host of the target is used, whatever the field says.
                host = headers["Host"] = absolute[1]
                self.uri = _origin_form(self.method, absolute[2])
        self.path, _, self.query = self.uri.partition("?")
        self.host = "127.0.0.1" if host is None else host
        self.host_name = (_host_name if len(self.host) <= _MAX_HOST_CHARS else _host_name.__wrapped__)(self.host)
        self.body, self.files = b"", {}
        self.arguments: dict[str, list[bytes]] = {}
        self.query_arguments: dict[str, list[bytes]] = {}
        self.body_arguments: dict[str, list[bytes]] = {}
        context: Any = getattr(connection, "context", None)
        self.remote_ip = getattr(context, "remote_ip", None)
        self.protocol = getattr(context, "protocol", "http")
        self.connection, self.server_connection = connection, server_connection
        self._start_time, self._finish_time = time.time(), None
