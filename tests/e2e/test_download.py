"""GET download: the bytes and their headers, what the origin sees, orders good and bad, origins and nodes that fail."""

import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.demo import forge
from provider.demo.child import Children
from provider.demo.consumer import Consumer, fee_tuple
from provider.demo.http_client import Downloaded, Reply, request, with_query
from provider.demo.keys import CONSUMER_KEY
from provider.demo.publisher import Published, url_file
from provider.demo.stage import DemoChain, DemoServer, free_ports, launch_server
from provider.demo.wallet import TransactionReverted
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin, pattern, pattern_sha256, wait_until
from tests.support.raw_http import connected, get, read_reply, read_to_end
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

CSV_SHA256 = hashlib.sha256(CSV).hexdigest()
NOT_AVAILABLE = "Provider Ganache: Asset URL not found, not available or invalid."
NO_NODE = "The blockchain node cannot be reached, please try again later."


def order_refusal(tx: str, reason: str) -> str:
    return f"Provider Ganache: Order with tx_id {tx} could not be validated due to error: Provider Ganache: {reason}"


def refused(got: Downloaded | Reply, text: str, status: int = 400) -> bool:
    body = got.error_body if isinstance(got, Downloaded) else got.body
    assert (got.status, json.loads(body)) == (status, {"error": text})
    return True


def ask(consumer: Consumer, asset: Published, tx: str, **more: object) -> Reply:
    """A download read as one reply; `more` as `Consumer.download_parameters`."""
    parameters = consumer.download_parameters(asset, tx, **more)  # type: ignore[arg-type]
    return request("GET", with_query(f"{consumer.provider_url}/api/services/download", parameters))


@pytest.fixture(scope="module", autouse=True)
def _log_holds_no_secret(server: DemoServer, origin: Origin) -> Iterator[None]:
    yield
    log = server.child.stderr_tail(1 << 26)
    port = urlsplit(origin.url).port
    for secret in (f":{port}", "planted", "signature=", "data.csv"):
        assert secret not in log
    assert "raceback" not in log
    assert "Task was destroyed" not in log


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
        "access-control-expose-headers": "Content-Disposition",
        "access-control-allow-origin": "*",
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
    assert reply.headers["access-control-expose-headers"] == "Content-Disposition"


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


@pytest.mark.parametrize("wanted", ["", "lines=1-2; rm", "bytes=a-b", "x" * 5000, "bytes=0-1\x7f"], ids=lambda w: w[:8])
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


@pytest.mark.parametrize("path", ["/bytes/4000000000", "/silent"], ids=["mid-body", "before the head"])
def test_consumer_that_leaves_frees_the_origin(
    server: DemoServer, consumer: Consumer, sell: Sell, origin: Origin, path: str
) -> None:
    target = consumer.download_url(*sell(url_file(origin.url + path))).removeprefix(server.url)
    wait_until(lambda: origin.active == 0)
    with connected(server.url) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: origin.active == 1)
        if path != "/silent":
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: origin.active == 0, seconds=1.5)


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


# Orders


def test_order_of_somebody_else_is_refused(stranger: Consumer, bought: tuple[Published, str]) -> None:
    reason = "sender of order transaction is not the consumer/payer."
    assert refused(ask(stranger, *bought), order_refusal(bought[1], reason))


def test_payer_and_consumer_may_both_download(
    consumer: Consumer, stranger: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, consumer=stranger.address)
    for who in (consumer, stranger):
        assert ask(who, asset, tx).body == CSV


def test_orders_of_one_transaction_all_count(
    chain: DemoChain, consumer: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    """The payer on chain is then the factory."""
    file = url_file(f"{origin.url}/data.csv")
    asset = publisher.publish([file], [file])
    for datatoken in asset.datatokens:
        publisher.mint(datatoken, consumer.address)
    tx = consumer.order_many(chain.contracts.factory, [(asset, 0), (asset, 1)])
    for index in (0, 1):
        assert ask(consumer, asset, tx, index=index).body == CSV


@pytest.mark.parametrize("form", ["bare", "upper case"])
def test_transaction_id_is_taken_in_any_form(consumer: Consumer, bought: tuple[Published, str], form: str) -> None:
    asset, tx = bought
    assert ask(consumer, asset, tx[2:] if form == "bare" else "0x" + tx[2:].upper()).body == CSV


def test_order_expires_with_the_timeout_of_the_service(
    chain: DemoChain, consumer: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    file = url_file(f"{origin.url}/data.csv")
    hourly, forever = publisher.publish([file], timeout_seconds=3600), publisher.publish([file], timeout_seconds=0)
    orders = {}
    with chain.clock_shifted(-7200):
        for asset in (hourly, forever):
            publisher.mint(asset.datatokens[0], consumer.address)
            orders[asset.did] = consumer.order(asset)
    assert ask(consumer, forever, orders[forever.did]).body == CSV
    got = ask(consumer, hourly, orders[hourly.did])
    assert got.status == 400
    text = order_refusal(orders[hourly.did], "The order has expired. current timestamp=")
    assert got.error_text().startswith(text)
    assert got.error_text().endswith("service timeout=3600")
    publisher.mint(hourly.datatokens[0], consumer.address)
    assert ask(consumer, hourly, consumer.order(hourly)).body == CSV


def test_reuse_renews_the_fee_but_never_the_order(
    chain: DemoChain, consumer: Consumer, stranger: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    """[K3] An expired order stays expired, whoever reuses it; a live one goes on with the new transaction."""
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], timeout_seconds=3600)
    publisher.mint(asset.datatokens[0], consumer.address, 2 * 10**18)
    with chain.clock_shifted(-7200):
        old = consumer.order(asset)
    live = consumer.order(asset)
    for who in (consumer, stranger):
        reused = who.reuse_order(asset, old)
        assert "The order has expired." in ask(consumer, asset, reused).error_text()
    assert ask(consumer, asset, consumer.reuse_order(asset, live)).body == CSV
    reason = "sender of order transaction is not the consumer/payer."
    by_stranger = stranger.reuse_order(asset, live)
    assert refused(ask(stranger, asset, by_stranger), order_refusal(by_stranger, reason))


def test_reuse_of_nothing_is_no_order(
    consumer: Consumer, bought: tuple[Published, str], publisher: StoringPublisher
) -> None:
    asset, _ = bought
    for named in ("0x" + "ab" * 32, publisher.mint(asset.datatokens[0], consumer.address)):
        reused = consumer.reuse_order(asset, named)
        reason = f"Cannot find the event for the order transaction with tx id {reused}."
        assert refused(ask(consumer, asset, reused), order_refusal(reused, reason))


def test_failed_order_is_refused(stranger: Consumer, bought: tuple[Published, str]) -> None:
    with pytest.raises(TransactionReverted) as reverted:
        stranger.order(bought[0])  # has no datatoken to pay with
    tx = reverted.value.tx_id
    assert refused(ask(stranger, bought[0], tx), order_refusal(tx, "order transaction failed."))


def test_unknown_transaction_is_refused_within_bounds(consumer: Consumer, bought: tuple[Published, str]) -> None:
    tx = "0x" + "cd" * 32
    started = time.monotonic()
    reason = f"Transaction with tx id {tx} was not found, it may not be confirmed yet."
    assert refused(ask(consumer, bought[0], tx), order_refusal(tx, reason))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "tx", ["0x", "0x12", "no hex", "0x" + "g" * 64, "0x" + "1" * 10_000, "\u0661" * 64], ids=lambda t: t[:6]
)
def test_transaction_ids_that_are_none_are_refused(consumer: Consumer, bought: tuple[Published, str], tx: str) -> None:
    got = ask(consumer, bought[0], tx)
    assert got.status == 400
    assert got.error_text() == "Provider Ganache: The transaction id is not 32 bytes of hex."


def test_forged_events_open_nothing(consumer: Consumer, bought: tuple[Published, str], origin: Origin) -> None:
    """[K1] A contract of the attacker repeats a genuine quote and an OrderStarted."""
    asset, real_tx = bought
    fee = forge.provider_fee(fee_tuple(consumer.initialize(asset)["providerFee"]))
    me = consumer.address
    started = forge.order_started(me, payer=me, service_index=0, timestamp=int(time.time()))
    reused = forge.order_reused(real_tx, caller=me, timestamp=int(time.time()))
    before = len(origin.seen)
    for steps in ([fee, started], [started, fee], [fee, reused], [fee], [started]):
        tx, _ = forge.emit(consumer.wallet, steps)
        reason = f"Cannot find the event for the provider fee in tx id {tx}."
        assert refused(ask(consumer, asset, tx), order_refusal(tx, reason))
    assert len(origin.seen) == before


def test_order_of_another_service_or_datatoken_is_refused(
    consumer: Consumer, publisher: StoringPublisher, bought: tuple[Published, str], origin: Origin
) -> None:
    file = url_file(f"{origin.url}/data.csv")
    asset = publisher.publish([file], [file])
    publisher.mint(asset.datatokens[0], consumer.address, 2 * 10**18)
    tx = consumer.order(asset, 0)
    assert ask(consumer, asset, tx).body == CSV
    for other, order, index in ((asset, tx, 1), (asset, bought[1], 0), (bought[0], tx, 0)):
        reason = f"Cannot find the event for the provider fee in tx id {order}."
        assert refused(ask(consumer, other, order, index=index), order_refusal(order, reason))


@pytest.mark.parametrize("change", ["other key", "other service id", "other datatoken"])
def test_fee_of_another_quote_is_refused(
    chain: DemoChain,
    consumer: Consumer,
    publisher: StoringPublisher,
    bought: tuple[Published, str],
    signed_fee: Callable[..., dict[str, object]],
    change: str,
) -> None:
    asset, _ = bought
    datatoken, service_id = asset.datatokens[0], asset.service()["id"]
    fee = {
        "other key": lambda: signed_fee(datatoken, service_id, key=CONSUMER_KEY),
        "other service id": lambda: signed_fee(datatoken, "another"),
        "other datatoken": lambda: signed_fee("0x" + "12" * 20, service_id),
    }[change]()
    publisher.mint(datatoken, consumer.address)
    tx = consumer.order(asset, fee=fee)
    got = ask(consumer, asset, tx)
    assert got.status == 400
    expected = "does not match the provider address" if change == "other key" else "provider fee in tx id"
    assert expected in got.error_text()


# Whether the asset may be consumed


@pytest.mark.parametrize("state", range(6))
def test_state_of_the_nft_decides(
    consumer: Consumer,
    publisher: StoringPublisher,
    signed_fee: Callable[..., dict[str, object]],
    origin: Origin,
    state: int,
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, fee=signed_fee(asset.datatokens[0], asset.service()["id"]))
    publisher.set_state(asset.data_nft, state)
    got = ask(consumer, asset, tx)
    assert got.body == CSV if state in (0, 5) else refused(got, "Provider Ganache: Asset is not consumable.")


def test_access_rules_hold_for_the_caller(
    consumer: Consumer, stranger: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    deny = {"deny": [{"type": "address", "values": [stranger.address]}]}
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], credentials=deny)
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, consumer=stranger.address)
    assert ask(consumer, asset, tx).body == CSV
    code = "ConsumableCodes.CREDENTIAL_IN_DENY_LIST"
    text = f"Provider Ganache: Error: Access to asset {asset.did} was denied with code: {code}."
    assert refused(ask(stranger, asset, tx), text)


def test_compute_services_are_not_downloaded(
    consumer: Consumer, publisher: StoringPublisher, metadata_store: MetadataStore, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    metadata_store.documents[asset.did]["services"][0]["type"] = "compute"
    service_id = asset.service()["id"]
    text = f"Provider Ganache: Service with index={service_id} is not an access service."
    assert refused(ask(consumer, asset, asset.publish_tx), text)


def test_unknown_asset_and_service_are_refused(consumer: Consumer, bought: tuple[Published, str]) -> None:
    assert refused(ask(consumer, *bought, serviceId="nope"), "Provider Ganache: Invalid serviceId.")
    did, nonce = "did:op:" + "0" * 64, consumer.next_nonce()
    signature = consumer.sign(did, nonce)
    assert refused(ask(consumer, *bought, nonce=nonce, documentId=did, signature=signature), "Cannot resolve DID")


# Fields


@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
@pytest.mark.parametrize(
    "name", ["documentId", "serviceId", "consumerAddress", "transferTxId", "fileIndex", "nonce", "signature"]
)
def test_each_missing_field_is_named(
    consumer: Consumer, bought: tuple[Published, str], name: str, value: str | None
) -> None:
    got = ask(consumer, *bought, **{name: value})
    errors = got.json()["errors"]
    assert got.status == 400
    if name == "signature":
        assert errors == {name: ["Invalid signature provided. Please check the nonce or documentId."]}
    else:
        assert errors == {name: [f"The {name} field is required."]}


def test_validation_ends_at_the_first_missing_field(server: DemoServer) -> None:
    reply = request("GET", f"{server.url}/api/services/download")
    assert reply.json()["errors"] == {"documentId": ["The documentId field is required."]}


@pytest.mark.parametrize("name", ["documentId", "serviceId", "consumerAddress", "transferTxId", "fileIndex", "nonce"])
@pytest.mark.parametrize("value", [["x"], {"a": 1}, True, "x" * 10_000, 1.5], ids=lambda value: str(value)[:6])
def test_wrong_types_are_400(consumer: Consumer, bought: tuple[Published, str], name: str, value: object) -> None:
    parameters = {**consumer.download_parameters(*bought), name: value}
    url = f"{consumer.provider_url}/api/services/download"
    headers = {"Content-Type": "application/json"}
    reply = request("GET", url, body=json.dumps(parameters).encode(), headers=headers)
    assert reply.status == 400
    assert reply.json().keys() <= {"error", "errors", "message", "success"}


# The chain's node


@pytest.fixture(scope="module")
def rpc(chain: DemoChain) -> Iterator[RpcProxy]:
    with running_rpc_proxy(chain.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def behind_proxy(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    tmp_path_factory: pytest.TempPathFactory,
    rpc: RpcProxy,
) -> DemoServer:
    """A server whose only node is the counting proxy, with the default waiting time for a transaction."""
    settings = {"AQUARIUS_URL": metadata_store.url, "NETWORK_URL": rpc.url}
    folder = Path(tmp_path_factory.mktemp("proxied"))
    started = launch_server(children, chain, folder, settings, name="server-proxied")
    started.wait_ready()
    return started


@pytest.fixture
def proxied(chain: DemoChain, behind_proxy: DemoServer, rpc: RpcProxy) -> Iterator[Consumer]:
    """The consumer as a customer of the server behind the proxy."""
    rpc.up = True
    yield Consumer(chain.wallet(CONSUMER_KEY), behind_proxy.url)
    rpc.up = True


def test_cold_download_takes_one_round_trip_to_the_node_and_a_warm_one_none(
    proxied: Consumer, sell: Sell, origin: Origin, rpc: RpcProxy
) -> None:
    sold = sell(url_file(f"{origin.url}/data.csv"))
    parameters = [proxied.download_parameters(*sold, nonce=str(time.time_ns() + i)) for i in range(3)]
    urls = [with_query(f"{proxied.provider_url}/api/services/download", one) for one in parameters]
    rpc.trips.clear()
    assert request("GET", urls[0]).body == CSV
    assert len(rpc.trips) == 1, rpc.trips
    rpc.trips.clear()
    for url in urls[1:]:
        assert request("GET", url).body == CSV
    assert rpc.trips == []


def test_cold_download_of_a_reused_order_takes_two_round_trips(
    proxied: Consumer, consumer: Consumer, sell: Sell, origin: Origin, rpc: RpcProxy
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/data.csv"))
    reused = consumer.reuse_order(asset, tx)
    url = proxied.download_url(asset, reused)
    rpc.trips.clear()
    assert request("GET", url).body == CSV
    assert len(rpc.trips) == 2, rpc.trips


def test_cold_downloads_at_once_share_their_round_trip(
    proxied: Consumer, sell: Sell, origin: Origin, rpc: RpcProxy
) -> None:
    sold = sell(url_file(f"{origin.url}/data.csv"))
    start = time.time_ns()
    urls = [proxied.download_url(*sold, nonce=str(start + i)) for i in range(8)]
    rpc.trips.clear()
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda url=url: replies.append(request("GET", url))) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(reply.body == CSV for reply in replies)
    assert len(rpc.trips) <= 2, rpc.trips


def test_order_that_is_mined_while_the_download_waits_is_found(
    chain: DemoChain, proxied: Consumer, sell: Sell, publisher: StoringPublisher, origin: Origin, rpc: RpcProxy
) -> None:
    """The transaction is signed first, so that its id is known before the node has heard of it."""
    asset, _ = sell(url_file(f"{origin.url}/data.csv"))
    publisher.mint(asset.datatokens[0], proxied.address)
    fee = proxied.initialize(asset)["providerFee"]
    held: list[bytes] = []
    sign = proxied.wallet._account.sign_transaction

    class _Held(Exception):
        pass

    def hold(transaction: dict[str, object]) -> None:
        held.append(sign(transaction))
        raise _Held

    wallet_account = proxied.wallet._account
    proxied.wallet._account = type("Holding", (), {"sign_transaction": staticmethod(hold)})()
    with pytest.raises(_Held):
        proxied.order(asset, fee=fee)
    proxied.wallet._account = wallet_account
    tx = held[0].hash.to_0x_hex()  # type: ignore[attr-defined]
    url = proxied.download_url(asset, tx)
    rpc.trips.clear()
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(request("GET", url)))
    thread.start()
    wait_until(lambda: len(rpc.trips) >= 1)
    chain.w3.eth.send_raw_transaction(held[0].raw_transaction)  # type: ignore[attr-defined]
    thread.join(20)
    assert [reply.body for reply in replies] == [CSV]


def test_node_that_is_down_is_503_and_never_no_order(
    proxied: Consumer, sell: Sell, origin: Origin, rpc: RpcProxy
) -> None:
    sold = sell(url_file(f"{origin.url}/data.csv"))
    rpc.up = False
    for _ in range(2):
        assert refused(ask(proxied, *sold), f"Provider Ganache: {NO_NODE}", status=503)
    quote = request("GET", with_query(f"{proxied.provider_url}/api/services/initialize", {
        "documentId": sold[0].did, "serviceId": sold[0].service()["id"], "consumerAddress": proxied.address,
        "transferTxId": sold[1],
    }))  # fmt: skip
    assert refused(quote, f"Provider Ganache: {NO_NODE}", status=503)
    assert request("GET", f"{proxied.provider_url}/").status == 200
    rpc.up = True
    wait_until(lambda: ask(proxied, *sold).body == CSV)


def test_second_endpoint_takes_over(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, rpc: RpcProxy
) -> None:
    own = launch(NETWORK_URL=json.dumps([rpc.url, chain.url]))
    failing_over = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    file = url_file(f"{origin.url}/data.csv")
    assert ask(failing_over, *sell(file)).body == CSV
    used = len(rpc.trips)
    assert used
    rpc.up = False
    try:
        assert ask(failing_over, *sell(file)).body == CSV
        assert len(rpc.trips) == used
    finally:
        rpc.up = True


def test_dead_first_endpoint_does_not_stop_the_start(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin
) -> None:
    dead = f"http://planted-user:planted-password@127.0.0.1:{free_ports(1)[0]}"
    own = launch(NETWORK_URL=json.dumps([dead, chain.url]))
    assert ask(Consumer(chain.wallet(CONSUMER_KEY), own.url), *sell(url_file(f"{origin.url}/data.csv"))).body == CSV
    assert "planted" not in own.child.stderr_tail(1 << 20)
