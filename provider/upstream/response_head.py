"""The head of an HTTP/1.x response: bytes in, `ResponseHead` out. Any fault raises `UpstreamError`.

Strict where leniency would let two parties see two messages (RFC 9112 section 11.2). A malformed line that cannot
affect framing is dropped. A bare LF ends a line, as section 2.2 allows. No I/O here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from provider.errors import UpstreamError
from provider.upstream.source import Framing, Headers
from provider.wire.head import MAX_KEPT_CHARS, plain_lines
from provider.wire.text import NAME_CHARS, TOKEN, digits, ows

# For a whole head. nginx accepts 4-8 KiB from an origin, httpx 100 KiB, browsers about 256 KiB.
MAX_HEAD_BYTES = 64 * 1024
# Apache and Python's http.client accept 100. After this number only the deciding fields are kept.
MAX_FIELDS = 256

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
# A token (RFC 9110 section 5.6.2), a colon, a value without controls except HTAB (RFC 9110 section 5.5). White space
# before the colon is removed, as RFC 9112 section 5.1 demands of proxies.
_FIELD = re.compile(rf"([{NAME_CHARS}]+)[ \t]*:([^\x00-\x08\x0a-\x1f\x7f]*)")
# These fields decide where the body ends, which bytes it has and who may use the connection. Never guess at them.
_DECIDING = frozenset(("content-length", "transfer-encoding", "content-range", "content-encoding", "connection"))
# One of these names at the start of a line, whatever comes before or after it.
_MAY_DECIDE = re.compile(rf"[^{NAME_CHARS}]*(?:{'|'.join(sorted(_DECIDING))})(?![{NAME_CHARS}])", re.IGNORECASE)
# The largest signed 64-bit file offset.
_MAX_LENGTH_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status, fields, and how the body ends. `length_bytes` is set only with framing `length`.

    `keep_alive`: the connection may serve another request once this body was read.
    """

    status: int
    headers: Headers
    framing: Framing
    length_bytes: int | None
    keep_alive: bool

    @property
    def is_interim(self) -> bool:
        """True for 1xx: another head follows (RFC 9110 section 15.2)."""
        return self.status < 200


def find_head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Offset just after the empty line that ends the head, or -1.

    `start`: number of bytes already searched; the search steps back far enough by itself.
    """
    start = max(0, start - 3)
    blank = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, blank + 1 if blank >= 0 else len(data))
    return bare + 2 if bare >= 0 else blank + 3 if blank >= 0 else -1


def parse_head(data: bytes | bytearray, *, method: str) -> ResponseHead:
    """Parse one whole head, including its empty line, that answers a request of `method` (RFC 9112 sections 4-6).

    Raises:
        UpstreamError: not HTTP/1.x, a malformed deciding field, or ambiguous framing.
    """
    first, fields, is_sound = _plain_fields(data) or _any_fields(data)
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise UpstreamError(detail="origin: bad status line")
    if len(fields) > MAX_FIELDS:
        fields, is_sound = _first_and_deciding(fields), False
    status, http_1_1 = int(status_line[2]), status_line[1] == "1"
    headers = Headers(fields)
    framing, length_bytes = _framing(method, status, headers, http_1_1=http_1_1)
    connection = headers.tokens("Connection")
    persistent = is_sound and "close" not in connection and (http_1_1 or "keep-alive" in connection)
    return ResponseHead(status, headers, framing, length_bytes, keep_alive=persistent and framing != "close")


@lru_cache(maxsize=512)
def _is_token(name: str) -> bool:
    return TOKEN.fullmatch(name) is not None


def _plain_fields(data: bytes | bytearray) -> tuple[str, list[tuple[str, str]], bool] | None:
    """Does the work of `_any_fields` for a plain head; None for any other head."""
    lines = plain_lines(data)
    if lines is None:
        return None
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or len(name) > MAX_KEPT_CHARS or not _is_token(name):
            return None
        fields.append((name, value.strip(" ")))
    return lines[0], fields, True


def _any_fields(data: bytes | bytearray) -> tuple[str, list[tuple[str, str]], bool]:
    """Returns the first line, the fields, and whether every line was a valid field."""
    # `find_head_end` includes the empty line. Two are added so that any bytes may be passed.
    lines = [line.removesuffix("\r") for line in data.decode("latin-1").split("\n")] + ["", ""]
    field_lines = _unfolded(lines[1 : lines.index("", 1)])
    found = [_field(line) for line in field_lines]
    fields = [field for field in found if field is not None]
    return lines[0], fields, len(fields) == len(found)


def _unfolded(lines: list[str]) -> list[str]:
    """Join each folded line to the one before by a blank (RFC 9112 section 5.2)."""
    unfolded: list[str] = []
    for line in lines:
        if not line.startswith((" ", "\t")):
            unfolded.append(line)
        elif not unfolded or _MAY_DECIDE.match(unfolded[-1]) or _MAY_DECIDE.match(line):
            raise UpstreamError(detail="origin: bad header line")
        else:
            unfolded[-1] += " " + ows(line)
    return unfolded


def _field(line: str) -> tuple[str, str] | None:
    """Name and value; None for a malformed line that decides nothing. Raises UpstreamError if it may decide."""
    match = _FIELD.fullmatch(line)
    if match is not None:
        return match[1], ows(match[2])
    # Some readers end a line at a bare CR.
    if any(_MAY_DECIDE.match(part) for part in line.split("\r")):
        raise UpstreamError(detail="origin: bad header line")
    return None


def _first_and_deciding(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    deciding = [field for field in fields[MAX_FIELDS:] if field[0].lower() in _DECIDING]
    if len(deciding) > MAX_FIELDS:
        raise UpstreamError(detail="origin: too many header lines")
    return fields[:MAX_FIELDS] + deciding


def _framing(method: str, status: int, headers: Headers, *, http_1_1: bool) -> tuple[Framing, int | None]:
    """Find the framing by the rules of RFC 9112 section 6.3, in their order."""
    coding, length = headers.get_all("Transfer-Encoding"), _content_length(headers)
    if coding and length is not None:
        raise UpstreamError(detail="origin: Transfer-Encoding with Content-Length")
    if coding and (not http_1_1 or len(coding) != 1 or coding[0].lower() != "chunked"):
        raise UpstreamError(detail="origin: transfer coding other than chunked")
    if method == "HEAD" or status < 200 or status in (204, 304):
        return "length", 0
    if coding:
        return "chunked", None
    return ("close", None) if length is None else ("length", length)


def _content_length(headers: Headers) -> int | None:
    """The Content-Length; None if absent. Equal copies count as one (RFC 9112 section 6.3, item 5)."""
    copies = {ows(copy) for value in headers.get_all("Content-Length") for copy in value.split(",")}
    if not copies:
        return None
    length_bytes = digits(copies.pop(), max_chars=19)
    if copies or length_bytes is None or length_bytes > _MAX_LENGTH_BYTES:
        raise UpstreamError(detail="origin: bad Content-Length")
    return length_bytes
