"""Targets: HTTP/1.1 as consumers and origins write it."""

import contextlib
import re
import string

from tornado.http1connection import HTTP1Connection
from tornado.httputil import parse_request_start_line

from provider.admission.clients import parse_address
from provider.admission.fast_reject import is_plain_download
from provider.errors import UpstreamError, UpstreamTruncated
from provider.http1.heads import parse_plain_head
from provider.http1.streams import HEAD_END
from provider.upstream.answer import judge
from provider.upstream.body import ChunkedDecoder
from provider.upstream.file_names import name_in_disposition, name_in_path, safe_name, with_extension
from provider.upstream.patience import retry_after_seconds
from provider.upstream.ranges import MAX_RANGES, parse_content_range, passable_range, select_range
from provider.upstream.response_head import find_head_end, parse_head
from provider.upstream.source import Headers
from provider.upstream.validators import http_date_text, is_strong_date, parse_http_date
from provider.upstream.wish import read_wish
from tests.fuzz.model import Target, as_text, lines

TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
"""RFC 9110 section 5.6.2."""


def request_head(data: bytes) -> None:
    """The short way to a request's head gives what Tornado's own parser gives, or leaves the head to it."""
    end = re.search(HEAD_END, data)
    if end is None:
        return
    data = data[: end.end()]
    if is_plain_download(data):
        assert data.find(b"\r\n\r\n") == len(data) - 4
        assert data.startswith(b"GET /api/services/download?")
    short = parse_plain_head(data)
    if short is None:
        return
    start_line, fields = HTTP1Connection._parse_headers(None, data)  # type: ignore[arg-type]
    assert parse_request_start_line(start_line) == short[0]
    assert list(fields.get_all()) == list(short[1].get_all())
    for name, value in short[1].get_all():
        assert set(name) <= TOKEN
        assert "\r" not in value
        assert "\n" not in value


def response_head(data: bytes) -> None:
    """Only `UpstreamError` escapes; a head ends at one place however it comes; framing is one of three."""
    ends = (find_head_end(data[: count + 1], count) for count in range(len(data)))
    first = next((end for end in ends if end >= 0), -1)
    assert find_head_end(data) == first
    for method in ("GET", "HEAD"):
        with contextlib.suppress(UpstreamError):
            head = parse_head(data if first < 0 else data[:first], method=method)
            assert 100 <= head.status <= 599
            assert (head.length_bytes is not None) == (head.framing == "length")
            assert head.length_bytes is None or 0 <= head.length_bytes < 2**63
            assert not (head.keep_alive and head.framing == "close")
            for name, value in head.headers:
                assert name
                assert set(name) <= TOKEN
                assert not {"\r", "\n", "\0"} & set(value)
                assert value == value.strip(" \t")


def _dechunked(pieces: list[bytes]) -> tuple[bytes, bool, int] | None:
    """Payload, whether the end was seen and bytes after it; None when the framing is broken."""
    decoder, payload = ChunkedDecoder(), b""
    for piece in pieces:
        buffer = memoryview(bytearray(piece))
        try:
            count = decoder.decode(buffer, len(piece))
        except UpstreamTruncated:
            return None
        assert 0 <= count <= len(piece)
        payload += bytes(buffer[:count])
    return payload, decoder.done, decoder.surplus_bytes


def chunks(data: bytes) -> None:
    """However the bytes come, they mean the same; what is put into chunks comes out."""
    whole = _dechunked([data])
    assert _dechunked([data[i : i + 1] for i in range(len(data))]) == whole
    assert _dechunked([data[i : i + 7] for i in range(0, len(data), 7)]) == whole
    assert whole is None or len(whole[0]) + whole[2] <= len(data)
    step = data[0] % 32 + 1 if data else 1
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert _dechunked([coded]) == (data, True, 0)


def ranges(data: bytes) -> None:
    """A range that is passed on is normal and has few parts. Every selected part lies within the file."""
    text, total_text = (part.decode("latin-1") for part in lines(data, 2))
    passed = passable_range(text)
    if passed is not None:
        assert passable_range(passed) == passed
        assert passed.count(",") < MAX_RANGES
        assert set(passed) <= set("bytes=0123456789,-")
    total = int(total_text[:15]) if total_text[:15].isascii() and total_text[:15].isdigit() else len(data)
    part = select_range(text, total)
    assert part.status in (200, 206, 416)
    assert 0 <= part.first <= part.first + part.count <= total
    if part.status == 200:
        assert (part.first, part.count) == (0, total)
    else:
        stated = parse_content_range(part.content_range)
        assert stated is not None
        assert stated.total_bytes == total
        if part.status == 206:
            assert (stated.first, stated.last) == (part.first, part.first + part.count - 1)


def content_range(data: bytes) -> None:
    """A stated range lies within the stated whole."""
    stated = parse_content_range(data.decode("latin-1"))
    if stated is None:
        return
    total = "*" if stated.total_bytes is None else stated.total_bytes
    if stated.first is None or stated.last is None:
        assert (stated.first, stated.last) == (None, None)
        assert stated.total_bytes is not None
        again = f"bytes */{total}"
    else:
        assert 0 <= stated.first <= stated.last
        assert stated.total_bytes is None or stated.last < stated.total_bytes
        again = f"bytes {stated.first}-{stated.last}/{total}"
    assert parse_content_range(again) == stated


def file_names(data: bytes) -> None:
    """A name fits every file system and header, and is safe already when it is made safe again."""
    text = as_text(data)
    for name in (name_in_disposition(data.decode("latin-1")), name_in_path(text), safe_name(text)):
        assert len(name.encode()) <= 255
        assert not set(name) & set("\"'`;<>:|?*/\\\r\n\0")
        assert name not in (".", "..")
        assert safe_name(name) == name
        assert with_extension(name, data.decode("latin-1")).startswith(name)


def addresses(data: bytes) -> None:
    """The client that a proxy names is an address, or None."""
    address = parse_address(data.decode("latin-1"))
    if address is not None:
        assert parse_address(str(address)) == address
        assert getattr(address, "ipv4_mapped", None) is None


def wishes(data: bytes) -> None:
    """What a consumer asks of a file goes to an origin as printable ASCII, and is read there as the same wish."""
    names = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    values = [as_text(line) for line in lines(data, len(names))]
    wish = read_wish({name: value for name, value in zip(names, values, strict=True) if value})
    sent = dict(wish.fields)
    for name, value in sent.items():
        assert name in names
        assert value.isprintable()
        assert value.isascii() or name in ("If-Range", "If-Match", "If-None-Match")
    assert dict(read_wish(sent).fields) == sent
    for asked in (wish, wish.whole()):
        answer = judge(asked, 200, Headers([("ETag", '"a"'), ("Last-Modified", values[1][:50])]), 100)
        assert answer is not None


def http_dates(data: bytes) -> None:
    """A date is one of UTC that can be written and read again; a wait is finite and not negative."""
    text, other = (as_text(line) for line in lines(data, 2))
    date = parse_http_date(text)
    if date is not None:
        assert text.isascii()
        assert text.isprintable()
        assert parse_http_date(http_date_text(date)) == date
    waits = Headers([("Retry-After", text), ("Date", other), ("Last-Modified", text)])
    wait = retry_after_seconds(waits, now=0.0)
    assert wait is None or 0 <= wait < 1e12
    is_strong_date(text, waits)


WIRE = (
    Target("request_head", request_head),
    Target("response_head", response_head),
    Target("chunks", chunks),
    Target("ranges", ranges, max_bytes=600),
    Target("wishes", wishes, max_bytes=600),
    Target("http_dates", http_dates, max_bytes=100),
    Target("content_range", content_range, max_bytes=200),
    Target("addresses", addresses, max_bytes=100),
    Target("file_names", file_names, max_bytes=1024),
)
