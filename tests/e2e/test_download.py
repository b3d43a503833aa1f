"""GET download: the bytes and their headers, what the origin sees, origins that fail, file lists."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.downloads import ask, refused
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin, pattern, pattern_sha256
from tests.support.raw_http import connected, get, read_reply, read_to_end

pytestmark = pytest.mark.usefixtures("log_holds_no_secret")
EXPOSED = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, X-Request-ID"
CSV_SHA256 = hashlib.sha256(CSV).hexdigest()
NOT_AVAILABLE = "Provider Ganache: Asset URL not found, not available or invalid."


# The bytes and their headers


def test_small_file_comes_with_exactly_these_headers(consumer: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask(consumer, *bought)
    assert (reply.status, reply.body) == (200, CSV)
    headers = dict(reply.headers)
    assert headers.pop("x-request-id")
    assert headers.pop("date")
    assert headers == {
        "content-type": "text/csv; charset=utf-8",
        "content-length": str(len(CSV)),
        "content-disposition": "attachment;filename=data.csv",
        "etag": '"v1"',
        "access-control-expose-headers": EXPOSED,
        "access-control-allow-origin": "*",
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
    }


def test_large_file_arrives_byte_for_byte(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    size = 20_000_003
    got = consumer.download(*sell(url_file(f"{origin.url}/bytes/{size}")))
    assert (got.status, got.complete, got.size_bytes) == (200, True, size)
    assert got.sha256 == pattern_sha256(size)
    assert got.headers["content-length"] == str(size)


def test_second_file_is_chosen_by_its_index(consumer: Consumer, bought: tuple[Published, str]) -> None:
    got = consumer.download(*bought, file_index=1)
    assert (got.sha256, got.filename) == (pattern_sha256(300_000), "300000")


def test_empty_file_is_a_file(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    got = consumer.download(*sell(url_file(f"{origin.url}/bytes/0")))
    assert (got.status, got.size_bytes, got.complete) == (200, 0, True)


def test_file_of_unknown_length_is_chunked_and_whole(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    got = consumer.download(*sell(url_file(f"{origin.url}/chunked/20")))
    assert (got.complete, got.size_bytes) == (True, 20 * 65536)
    assert got.sha256 == hashlib.sha256(b"x" * got.size_bytes).hexdigest()
    assert got.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in got.headers


def test_http_1_0_consumer_gets_a_file_of_unknown_length_until_close(
    server: DemoServer, consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    target = consumer.download_url(*sell(url_file(f"{origin.url}/chunked/3"))).removeprefix(server.url)
    with connected(server.url) as sock:
        sock.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        head, _, body = read_to_end(sock).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == b"x" * 3 * 65536


def test_connection_is_kept_after_a_file(server: DemoServer, consumer: Consumer, bought: tuple[Published, str]) -> None:
    with connected(server.url) as sock:
        for _ in range(3):
            target = consumer.download_url(*bought).removeprefix(server.url)
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert read_reply(sock).body == CSV


def test_leading_slashes_and_origin_header_are_fine(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    target = "//" + consumer.download_url(*bought).removeprefix(server.url)
    reply = get(server.url, target, "Origin: https://market.example")
    assert (reply.status, reply.body) == (200, CSV)
    assert reply.headers["access-control-allow-origin"] == "https://market.example"
    assert reply.headers["access-control-expose-headers"] == EXPOSED


def test_parameters_may_come_as_json(consumer: Consumer, bought: tuple[Published, str]) -> None:
    """pod-configuration and old tests send a GET with a body; numbers come as numbers."""
    nonce = int(consumer.next_nonce())
    parameters = {**consumer.download_parameters(*bought, nonce=str(nonce)), "nonce": nonce}
    url = f"{consumer.provider_url}/api/services/download"
    headers = {"Content-Type": "application/json"}
    assert request("GET", url, body=json.dumps(parameters).encode(), headers=headers).body == CSV


@pytest.mark.parametrize("path", ["/named", "/redirect", "/data.csv?key=planted-key", "/bytes/7"])
def test_file_names_are_safe_and_tell_nothing(consumer: Consumer, sell: Sell, origin: Origin, path: str) -> None:
    """[K30]"""
    got = consumer.download(*sell(url_file(origin.url + path)))
    name = got.filename
    assert name is not None
    assert re.fullmatch(r"[A-Za-z0-9._ -]+", name)
    assert "planted" not in str(got.headers)
    assert ".." not in name
    if path == "/redirect":
        assert name == "redirect.csv"


# Range


@pytest.mark.parametrize(
    ("wanted", "first", "last"), [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=299990-", 299990, 299999)]
)
def test_range_is_passed_both_ways(
    consumer: Consumer, bought: tuple[Published, str], wanted: str, first: int, last: int
) -> None:
    """[K29]"""
    sink = io.BytesIO()
    got = consumer.download(*bought, file_index=1, headers={"Range": wanted}, sink=sink)
    assert (got.status, got.complete) == (206, True)
    assert sink.getvalue() == pattern(300_000)[first : last + 1]
    assert got.headers["content-range"] == f"bytes {first}-{last}/300000"
    assert got.headers["content-length"] == str(last - first + 1)
    assert got.headers["accept-ranges"] == "bytes"
    assert got.filename == "300000"
    assert "Content-Range" in got.headers["access-control-expose-headers"]
    assert "range" not in got.headers


def test_range_beyond_the_end_is_416_without_the_origins_page(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    got = consumer.download(*sell(url_file(f"{origin.url}/unsatisfiable")), headers={"Range": "bytes=100-"})
    assert (got.status, got.error_body) == (416, b"")
    assert got.headers["content-range"] == "bytes */42"


def test_origin_that_ignores_range_answers_with_the_whole(consumer: Consumer, bought: tuple[Published, str]) -> None:
    got = consumer.download(*bought, headers={"Range": "bytes=0-3"})
    assert (got.status, got.sha256) == (200, CSV_SHA256)


@pytest.mark.parametrize("wanted", ["", "lines=1-2; rm", "bytes=a-b", "x" * 5000, "bytes=0-1\xff"], ids=lambda w: w[:8])
def test_senseless_range_is_not_passed_on(
    consumer: Consumer, bought: tuple[Published, str], origin: Origin, wanted: str
) -> None:
    assert consumer.download(*bought, headers={"Range": wanted}).sha256 == CSV_SHA256
    assert "range" not in origin.requests("/data.csv")[-1].headers


def test_range_of_the_file_object_wins(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    file = url_file(f"{origin.url}/bytes/1000", headers={"Range": "bytes=10-19"})
    got = consumer.download(*sell(file), headers={"Range": "bytes=0-1"})
    assert (got.status, got.headers["content-range"]) == (206, "bytes 10-19/1000")


# What the origin sees


def test_one_upstream_request_and_no_other(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    """[K28] No HEAD, no pass for a checksum; and nothing of the consumer but what it asked for."""
    sold = sell(url_file(f"{origin.url}/bytes/54321", headers={"X-Key": "planted-header"}))
    before = len(origin.seen)
    headers = {"Cookie": "a=b", "Authorization": "Basic x", "User-Agent": "consumer", "X-Forwarded-For": "1.2.3.4"}
    assert consumer.download(*sold, headers=headers).sha256 == pattern_sha256(54321)
    (seen,) = origin.seen[before:]
    assert (seen.method, seen.path) == ("GET", "/bytes/54321")
    assert seen.headers["x-key"] == "planted-header"
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["host"] == urlsplit(origin.url).netloc
    assert not seen.headers.keys() & {"cookie", "authorization", "x-forwarded-for", "range"}
    assert seen.headers["user-agent"].startswith("OceanProvider/")


def test_post_files_are_posted(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    sold = sell({"type": "url", "url": f"{origin.url}/echo", "method": "POST", "userdata": {"by": "publisher"}})
    assert ask(consumer, *sold).body == b'{"by":"publisher"}'
    assert ask(consumer, *sold, userdata=json.dumps({"by": "consumer"})).body == b'{"by":"consumer"}'
    assert origin.requests("/echo")[-1].method == "POST"


def test_userdata_goes_into_the_query_of_a_get(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    sold = sell(url_file(f"{origin.url}/echo?own=1&sig=a%2Bb"))
    assert ask(consumer, *sold, userdata=json.dumps({"page": 2, "text": "a&b=c"})).status == 200
    assert origin.requests("/echo")[-1].query == {"own": ["1"], "sig": ["a+b"], "page": ["2"], "text": ["a&b=c"]}


@pytest.mark.parametrize(
    "userdata", ["{broken", "[1]", '"text"', "", "null", "\ufffd", "[" * 50_000], ids=lambda u: u[:7]
)
def test_undecodable_userdata_is_left_out(
    consumer: Consumer, sell: Sell, origin: Origin, bought: tuple[Published, str], userdata: str
) -> None:
    if len(userdata) > 1000:
        parameters = {**consumer.download_parameters(*bought), "userdata": userdata}
        url = f"{consumer.provider_url}/api/services/download"
        headers = {"Content-Type": "application/json"}
        assert request("GET", url, body=json.dumps(parameters).encode(), headers=headers).body == CSV
    else:
        assert ask(consumer, *bought, userdata=userdata).body == CSV
    assert origin.requests("/data.csv")[-1].query == {}


# Origins that fail


@pytest.mark.parametrize(
    "path", ["/missing", "/status/500", "/status/403", "/status/204", "/loop", "/silent", "/unsatisfiable"]
)
def test_failing_origin_is_a_400_that_tells_nothing(consumer: Consumer, sell: Sell, origin: Origin, path: str) -> None:
    assert refused(ask(consumer, *sell(url_file(origin.url + path))), NOT_AVAILABLE)


def test_an_origin_that_says_not_now_is_counted_apart_and_its_patience_told(
    server: DemoServer, consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    before = scrape(server.admin_url).total("provider_errors_total", code="upstream_busy")
    got = ask(consumer, *sell(url_file(f"{origin.url}/limited")))
    assert refused(got, NOT_AVAILABLE)
    assert got.headers["retry-after"] == "60"
    assert scrape(server.admin_url).total("provider_errors_total", code="upstream_busy") == before + 1


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no-such-host.invalid"])
def test_unreachable_origin_is_a_400(consumer: Consumer, sell: Sell, host: str) -> None:
    sold = sell(url_file(f"http://{host.format(port=free_ports(1)[0])}/planted"))
    got = ask(consumer, *sold)
    assert got.status == 400
    assert "planted" not in got.body.decode()
    assert got.error_text() in (NOT_AVAILABLE, "Provider Ganache: Unsafe url <URL stripped for security reasons>")


@pytest.mark.parametrize("path", ["/dies", "/dies_chunked"])
def test_origin_that_dies_is_seen_as_a_cut_transfer(consumer: Consumer, sell: Sell, origin: Origin, path: str) -> None:
    got = consumer.download(*sell(url_file(origin.url + path)))
    assert got.status == 200
    assert not got.complete


def test_origin_that_dies_resets_an_http_1_0_consumer(
    server: DemoServer, consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    """There the end of the connection is the end of the file, so it must not be a clean one."""
    target = consumer.download_url(*sell(url_file(f"{origin.url}/dies_chunked"))).removeprefix(server.url)
    with connected(server.url) as sock:
        sock.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: sock.recv(65536), b""))


def test_unsafe_address_is_refused_without_a_packet(
    launch: LaunchServer, chain: DemoChain, bought: tuple[Published, str], origin: Origin
) -> None:
    own = launch(ALLOW_NON_PUBLIC_IP="false")
    guarded = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    before = len(origin.seen)
    text = "Provider Ganache: Unsafe url <URL stripped for security reasons>"
    assert refused(ask(guarded, *bought), text)
    reply = request("GET", with_query(f"{own.url}/api/services/initialize", {
        "documentId": bought[0].did, "serviceId": bought[0].service()["id"],
        "consumerAddress": guarded.address, "fileIndex": 0,
    }))  # fmt: skip
    assert refused(reply, NOT_AVAILABLE)
    assert len(origin.seen) == before


# File lists


@pytest.mark.parametrize(
    ("index", "shown"),
    [("2", " 2"), ("-1", " -1"), ("99999", " 99999"), ("x", ""), ("1.0", ""), ("nan", ""), ("\u0661", ""), (" 1", ""),
     ("9" * 30, ""), ("9" * 10_000, ""), ("1e0", ""), ("0x0", "")],
    ids=lambda value: repr(value[:8]),
)  # fmt: skip
def test_file_index_outside_the_list_is_refused(
    consumer: Consumer, bought: tuple[Published, str], index: str, shown: str
) -> None:
    """[K20]"""
    assert refused(ask(consumer, *bought, fileIndex=index), f"Provider Ganache: No such fileIndex{shown}")


def test_list_of_another_asset_is_refused(
    consumer: Consumer,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    signed_fee: Callable[..., dict[str, object]],
    bought: tuple[Published, str],
) -> None:
    """[K18] Copied ciphertext cannot be sold again."""
    thief = publisher.publish([url_file("http://thief.invalid/x")])
    metadata_store.documents[thief.did]["services"][0]["files"] = bought[0].service()["files"]
    publisher.mint(thief.datatokens[0], consumer.address)
    tx = consumer.order(thief, fee=signed_fee(thief.datatokens[0], thief.service()["id"]))
    assert refused(ask(consumer, thief, tx), "Provider Ganache: Unable to get dataset files")


@pytest.mark.parametrize("template", [1, 2], ids=["standard", "enterprise"])
def test_every_template_is_served(consumer: Consumer, sell: Sell, origin: Origin, template: int) -> None:
    got = consumer.download(*sell(url_file(f"{origin.url}/data.csv"), template=template))
    assert got.sha256 == CSV_SHA256


@pytest.mark.parametrize("version", ["4.3.0", "4.5.0", "4.7.0"])
def test_later_document_versions_are_served(consumer: Consumer, sell: Sell, origin: Origin, version: str) -> None:
    assert consumer.download(*sell(url_file(f"{origin.url}/data.csv"), version=version)).sha256 == CSV_SHA256
