"""Ranges and conditions on a download: nginx on the same file is the judge.

One table of requests is sent to nginx and to the server, before origins that know conditions, that know ranges only,
and that know neither.
"""

import email
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from provider.testing.http_client import Reply
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoServer
from provider.upstream.ranges import select_range
from tests.e2e.conftest import Sell
from tests.support.origin import pattern
from tests.support.raw_http import get
from tests.support.web_servers import NGINX, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is the judge")

BODY = pattern(1000)
CHANGED_AT = 1_756_720_800
OLDER, LATER = formatdate(CHANGED_AT - 3600, usegmt=True), formatdate(CHANGED_AT + 3600, usegmt=True)
COMPARED = ("content-length", "content-range", "etag", "last-modified", "accept-ranges", "content-type")
TAG, DATE = "{etag}", "{date}"
OTHER = '"other"'

# Where nginx is not right, or not the only one who is: what is right instead.
WHOLE, PART = 200, 206
TABLE: dict[str, tuple[dict[str, str], int | None]] = {
    "plain": ({}, None),
    # RFC 9110 section 14.1.2
    "first byte": ({"Range": "bytes=0-0"}, None),
    "first bytes": ({"Range": "bytes=0-99"}, None),
    "a part": ({"Range": "bytes=100-199"}, None),
    "open": ({"Range": "bytes=900-"}, None),
    "all of it": ({"Range": "bytes=0-"}, None),
    "last byte": ({"Range": "bytes=999-"}, None),
    "suffix": ({"Range": "bytes=-100"}, None),
    "long suffix": ({"Range": "bytes=-5000"}, None),
    "past the end": ({"Range": "bytes=900-5000"}, None),
    "capitals": ({"Range": "BYTES=0-99"}, None),
    "behind the end": ({"Range": "bytes=1000-"}, None),
    "far behind the end": ({"Range": "bytes=5000-6000"}, None),
    "two": ({"Range": "bytes=0-9,20-29"}, None),
    "two with blanks": ({"Range": "bytes=0-9 , 20-29"}, None),
    "three": ({"Range": "bytes=0-9,500-599,-10"}, None),
    "one of two exists": ({"Range": "bytes=0-9,2000-"}, None),
    "none of two exists": ({"Range": "bytes=2000-,3000-"}, None),
    "another unit": ({"Range": "lines=0-9"}, None),
    "empty": ({"Range": "bytes="}, None),
    # RFC 9110 section 14.2: a malformed set is ignored; nginx says 416.
    "no numbers": ({"Range": "bytes=a-b"}, WHOLE),
    "backwards": ({"Range": "bytes=500-400"}, WHOLE),
    # And so may a range that asks for nothing be.
    "empty suffix": ({"Range": "bytes=-0"}, WHOLE),
    # RFC 9110 section 13.1.5
    "same version": ({"Range": "bytes=500-", "If-Range": TAG}, None),
    "another version": ({"Range": "bytes=500-", "If-Range": OTHER}, None),
    "weak version": ({"Range": "bytes=500-", "If-Range": "W/{etag}"}, None),
    "same date": ({"Range": "bytes=500-", "If-Range": DATE}, None),
    "earlier date": ({"Range": "bytes=500-", "If-Range": OLDER}, None),
    "later date": ({"Range": "bytes=500-", "If-Range": LATER}, None),
    "senseless version": ({"Range": "bytes=500-", "If-Range": "v1"}, None),
    "same version, several": ({"Range": "bytes=0-9,20-29", "If-Range": TAG}, None),
    "another version, several": ({"Range": "bytes=0-9,20-29", "If-Range": OTHER}, None),
    "same version, no such range": ({"Range": "bytes=5000-", "If-Range": TAG}, None),
    "another version, no such range": ({"Range": "bytes=5000-", "If-Range": OTHER}, None),
    "no range": ({"If-Range": OTHER}, None),
    # RFC 9110 sections 13.1.1 to 13.1.4
    "match": ({"If-Match": TAG}, None),
    "match of many": ({"If-Match": '"a", {etag}'}, None),
    "match of any": ({"If-Match": "*"}, None),
    "no match": ({"If-Match": OTHER}, None),
    "weak match": ({"If-Match": "W/{etag}"}, None),
    "match for a part": ({"If-Match": TAG, "Range": "bytes=0-9"}, None),
    "no match for a part": ({"If-Match": OTHER, "Range": "bytes=0-9"}, None),
    "no match, no such range": ({"If-Match": OTHER, "Range": "bytes=5000-"}, None),
    "match, no such range": ({"If-Match": TAG, "Range": "bytes=5000-"}, None),
    "none match": ({"If-None-Match": OTHER}, None),
    "none match but one": ({"If-None-Match": TAG}, None),
    "none match but weakly": ({"If-None-Match": "W/{etag}"}, None),
    "none match of many": ({"If-None-Match": '"a", {etag}, "b"'}, None),
    "none match of any": ({"If-None-Match": "*"}, None),
    "none match for a part": ({"If-None-Match": TAG, "Range": "bytes=0-9"}, None),
    "none match, no such range": ({"If-None-Match": TAG, "Range": "bytes=5000-"}, None),
    "modified": ({"If-Modified-Since": OLDER}, None),
    "not modified": ({"If-Modified-Since": DATE}, None),
    "not modified since later": ({"If-Modified-Since": LATER}, None),
    "not modified for a part": ({"If-Modified-Since": DATE, "Range": "bytes=0-9"}, None),
    "modified since never": ({"If-Modified-Since": "yesterday"}, None),
    "unmodified": ({"If-Unmodified-Since": DATE}, None),
    "unmodified since later": ({"If-Unmodified-Since": LATER}, None),
    "not unmodified": ({"If-Unmodified-Since": OLDER}, None),
    "not unmodified for a part": ({"If-Unmodified-Since": OLDER, "Range": "bytes=0-9"}, None),
    # RFC 9110 section 13.2.2
    "match and none match": ({"If-Match": TAG, "If-None-Match": TAG}, None),
    "no match and none match": ({"If-Match": OTHER, "If-None-Match": TAG}, None),
    "none match and modified": ({"If-None-Match": OTHER, "If-Modified-Since": OLDER}, None),
    "none match and not modified": ({"If-None-Match": OTHER, "If-Modified-Since": DATE}, None),
    "match and another version": ({"If-Match": TAG, "Range": "bytes=500-", "If-Range": OTHER}, None),
    # Beside a tag, a date counts for nothing; nginx wants both.
    "match and not unmodified": ({"If-Match": TAG, "If-Unmodified-Since": OLDER}, WHOLE),
    "none match but modified": ({"If-None-Match": TAG, "If-Modified-Since": OLDER}, 304),
}


@dataclass(frozen=True)
class Stage:
    """The judge's URL of the file, its validators, and the orders for the same file behind each origin."""

    judge: str
    etag: str
    date: str
    orders: dict[str, tuple[Published, str]]


class _RangesOnly(BaseHTTPRequestHandler):
    """Serves a range without a look at conditions; a path `/none/` without a look at ranges either."""

    protocol_version = "HTTP/1.1"
    etag = date = ""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        knows_ranges = not self.path.startswith("/none/")
        part = select_range(self.headers.get("Range") if knows_ranges else None, len(BODY))
        self.send_response(part.status)
        if part.status != 416:
            self.send_header("ETag", self.etag)
            self.send_header("Last-Modified", self.date)
        if part.status != 200:
            self.send_header("Content-Range", part.content_range)
        if part.status == 200 and knows_ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(part.count))
        self.end_headers()
        self.wfile.write(BODY[part.first : part.first + part.count])


@pytest.fixture(scope="module")
def stage(sell: Sell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """nginx twice, as the judge and as an origin, and two origins that know less."""
    files, work = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("nginx")
    (files / "data.bin").write_bytes(BODY)
    os.utime(files / "data.bin", (CHANGED_AT, CHANGED_AT))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _RangesOnly)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with nginx(files, work) as url:
        plain = fetch(f"{url}/by-the-book/data.bin", {})
        _RangesOnly.etag, _RangesOnly.date = plain.headers["etag"], plain.headers["last-modified"]
        own = f"http://127.0.0.1:{server.server_address[1]}"
        orders = {
            "conditions": sell(url_file(f"{url}/data.bin")),
            "ranges only": sell(url_file(f"{own}/data.bin")),
            "neither": sell(url_file(f"{own}/none/data.bin")),
        }
        yield Stage(f"{url}/by-the-book/data.bin", _RangesOnly.etag, _RangesOnly.date, orders)
    server.shutdown()
    server.server_close()


def fetch(url: str, headers: dict[str, str]) -> Reply:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return get(f"{parts.scheme}://{parts.netloc}", target, *(f"{name}: {value}" for name, value in headers.items()))


def parts_of(reply: Reply) -> list[tuple[str, bytes]]:
    """Ranges and bytes of a multipart body, by the standard library's parser."""
    head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
    parsed = email.message_from_bytes(head + reply.body)
    return [(part["Content-Range"], part.get_payload(decode=True)) for part in parsed.get_payload()]


def told(reply: Reply) -> dict[str, object]:
    """The fields by which a downloader decides."""
    found: dict[str, object] = {"status": reply.status}
    if reply.headers.get("content-type", "").startswith("multipart/byteranges"):
        return found | {"parts": parts_of(reply)}
    if reply.status in (200, 206):
        found |= {"body": reply.body}
        found |= {name: reply.headers[name] for name in COMPARED if name in reply.headers}
    elif reply.status == 304:
        found |= {"body": reply.body, "etag": reply.headers.get("etag"), "date": reply.headers.get("last-modified")}
    elif reply.status == 416:
        found |= {"content-range": reply.headers.get("content-range")}
    return found


def expected_of(
    judged: Reply, right: int | None, whole: Reply, origin: str, headers: dict[str, str]
) -> dict[str, object]:
    """Return the judge's answer, or the correct one where it is wrong: the whole file if the origin ignores ranges."""
    if right is not None and judged.status != right:
        if right != WHOLE:
            return {"status": right, "body": b"", "etag": whole.headers["etag"], "date": whole.headers["last-modified"]}
        judged = whole
    without_ranges = origin == "neither" or (origin == "ranges only" and "," in headers.get("Range", ""))
    if without_ranges and judged.status in (206, 416):
        judged = whole
    found = told(judged)
    if origin == "neither":
        found.pop("accept-ranges", None)
    return found


@pytest.mark.parametrize("origin", ["conditions", "ranges only", "neither"])
@pytest.mark.parametrize("row", list(TABLE))
def test_a_download_answers_as_nginx_does(
    server: DemoServer, consumer: Consumer, stage: Stage, row: str, origin: str
) -> None:
    asked, right = TABLE[row]
    headers = {name: value.format(etag=stage.etag, date=stage.date) for name, value in asked.items()}
    judged, whole = fetch(stage.judge, headers), fetch(stage.judge, {})
    reply = fetch(consumer.download_url(*stage.orders[origin]), headers)
    assert told(reply) == expected_of(judged, right, whole, origin, headers)
    exposed = reply.headers["access-control-expose-headers"].split(", ")
    assert "X-Request-ID" in exposed
    if reply.status in (200, 206):
        assert reply.headers["content-disposition"] == "attachment;filename=data.bin"
        assert {"Accept-Ranges", "ETag", "Last-Modified", "Content-Length", "Content-Range"} < set(exposed)


def test_the_table_knows_where_nginx_differs(stage: Stage) -> None:
    """A row with an answer of its own is one on which nginx says something else; the list stays short."""
    named = [(asked, right) for asked, right in TABLE.values() if right is not None]
    assert len(named) < 8
    for asked, right in named:
        headers = {name: value.format(etag=stage.etag, date=stage.date) for name, value in asked.items()}
        assert fetch(stage.judge, headers).status != right, asked


def test_a_file_that_changed_is_never_joined_to_its_old_version(
    consumer: Consumer, sell: Sell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files, work = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("nginx")
    (files / "data.bin").write_bytes(BODY)
    with nginx(files, work) as url:
        sold = sell(url_file(f"{url}/data.bin"))
        first = fetch(consumer.download_url(*sold), {})
        (files / "next").write_bytes(BODY[::-1] * 2)
        shutil.move(files / "next", files / "data.bin")
        rest = fetch(consumer.download_url(*sold), {"Range": "bytes=500-", "If-Range": first.headers["etag"]})
    assert (first.status, first.body) == (200, BODY)
    assert (rest.status, rest.body, rest.headers.get("content-range")) == (200, BODY[::-1] * 2, None)


def test_a_preflight_allows_ranges_conditions_and_tokens(server: DemoServer) -> None:
    names = ["Range", "If-Range", "If-Match", "If-None-Match", "Authorization", "AuthToken"]
    preflight = ["Origin: https://market.example", "Access-Control-Request-Method: GET"]
    for asked in ([], [f"Access-Control-Request-Headers: {','.join(name.lower() for name in names)}"]):
        reply = get(server.url, "/api/services/download", *preflight, *asked, method="OPTIONS")
        allowed = reply.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert set(allowed) == {name.lower() for name in names}
