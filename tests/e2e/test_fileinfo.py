"""POST fileinfo: by asset and by file object, checksums, what cannot be reached, what must not be reached."""

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from provider.testing.http_client import Reply, request
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin, pattern_sha256

CSV_SHA256 = hashlib.sha256(CSV).hexdigest()
CSV_ITEM = {
    "index": 0,
    "type": "url",
    "valid": True,
    "contentLength": str(len(CSV)),
    "contentType": "text/csv",
    "filename": "data.csv",
}
UNREACHABLE = {"index": 0, "type": "url", "valid": False}


def ask(server: DemoServer, value: object, path: str = "/api/services/fileinfo") -> Reply:
    body = json.dumps(value).encode()
    return request("POST", server.url + path, body=body, headers={"Content-Type": "application/json"})


def one(server: DemoServer, file: dict[str, object], **more: object) -> dict[str, Any]:
    """The only item of the answer for a file object."""
    reply = ask(server, {**file, **more})
    assert reply.status == 200, reply.body
    (item,) = reply.json()
    return item


def by_asset(asset: Published, **more: object) -> dict[str, object]:
    return {"did": asset.did, "serviceId": asset.service()["id"], **more}


# By asset


@pytest.mark.parametrize("path", ["/api/services/fileinfo", "//api/services/fileinfo", "/api/services/fileInfo"])
def test_each_file_of_a_service_is_described(server: DemoServer, bought: tuple[Published, str], path: str) -> None:
    reply = ask(server, by_asset(bought[0]), path)
    large = {"index": 1, "type": "url", "valid": True, "contentLength": "300000", "filename": "300000"}
    assert (reply.status, reply.json()) == (200, [CSV_ITEM, {**large, "contentType": ""}])


def test_parameters_may_come_in_the_query(server: DemoServer, bought: tuple[Published, str]) -> None:
    asset = bought[0]
    url = f"{server.url}/api/services/fileinfo?did={asset.did}&serviceId={asset.service()['id']}&checksum=1"
    items = request("POST", url).json()
    assert [item["checksum"] for item in items] == [CSV_SHA256, pattern_sha256(300_000)]


def test_files_of_many_are_all_described_in_order(
    server: DemoServer, publisher: StoringPublisher, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/bytes/{size}") for size in range(1, 31)])
    items = ask(server, by_asset(asset, checksum=True)).json()
    assert [item["index"] for item in items] == list(range(30))
    assert [item["contentLength"] for item in items] == [str(size) for size in range(1, 31)]
    assert [item["checksum"] for item in items] == [pattern_sha256(size) for size in range(1, 31)]


def test_disabled_assets_answer(server: DemoServer, publisher: StoringPublisher, origin: Origin) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], store_state=3)
    publisher.set_state(asset.data_nft, 3)
    assert ask(server, by_asset(asset)).json() == [CSV_ITEM]


def test_ocean_node_serves_as_metadata_store(server: DemoServer, publisher: StoringPublisher, origin: Origin) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], store_shape="ocean-node")
    assert ask(server, by_asset(asset)).json() == [CSV_ITEM]


@pytest.mark.parametrize(
    "did", ["did:op:" + "0" * 64, "did:op:x", "did:ope:" + "0" * 64, "did:op:../../x", "did:op:" + "9" * 9999]
)
def test_unknown_assets_are_400(server: DemoServer, did: str) -> None:
    reply = ask(server, {"did": did, "serviceId": "x"})
    assert (reply.status, reply.json()) == (400, {"error": "Cannot resolve DID"})


@pytest.mark.parametrize("service_id", ["x", "0", 0, "9" * 10_000, "\x00"])
def test_unknown_services_are_400(server: DemoServer, bought: tuple[Published, str], service_id: object) -> None:
    reply = ask(server, {"did": bought[0].did, "serviceId": service_id})
    assert (reply.status, reply.json()) == (400, {"error": "Provider Ganache: Invalid serviceId."})


NO_FILES = {"error": "Provider Ganache: Unable to get dataset files"}


def test_file_lists_that_cannot_be_opened_are_400(
    server: DemoServer, publisher: StoringPublisher, metadata_store: MetadataStore, origin: Origin
) -> None:
    """The last one is a copy of another asset's list [K18]."""
    file = url_file(f"{origin.url}/data.csv")
    other = publisher.publish([file])
    for files in (
        "",
        "0x",
        "0x1234",
        "no hex",
        publisher.encrypt(b"no json"),
        publisher.encrypt(b"[]"),
        other.service()["files"],
    ):
        asset = publisher.publish([file])
        metadata_store.documents[asset.did]["services"][0]["files"] = files
        reply = ask(server, by_asset(asset))
        assert (reply.status, reply.json()) == (400, NO_FILES), files[:20]


def test_empty_file_list_is_400(server: DemoServer, publisher: StoringPublisher) -> None:
    reply = ask(server, by_asset(publisher.publish([])))
    assert (reply.status, reply.json()) == (400, NO_FILES)


def test_unbound_lists_are_served_only_on_request(
    server: DemoServer, launch: LaunchServer, publisher: StoringPublisher, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], version="4.0.0")
    reply = ask(server, by_asset(asset))
    assert (reply.status, reply.json()) == (400, NO_FILES)
    assert ask(launch(ALLOW_UNBOUND_FILES="true"), by_asset(asset)).json() == [CSV_ITEM]


# By file object


def test_file_object_is_described(server: DemoServer, origin: Origin) -> None:
    assert one(server, url_file(f"{origin.url}/data.csv")) == CSV_ITEM


def test_method_headers_and_userdata_reach_the_origin(server: DemoServer, origin: Origin) -> None:
    get = {"type": "url", "url": f"{origin.url}/echo?a=1", "headers": {"X-Key": "planted-header"}}
    assert one(server, get, userdata={"b": "2"})["valid"] is True
    seen = origin.requests("/echo")[-1]
    assert (seen.method, seen.query, seen.headers["x-key"]) == ("GET", {"a": ["1"], "b": ["2"]}, "planted-header")
    post = {"type": "url", "url": f"{origin.url}/echo", "method": "post", "userdata": {"from": "publisher"}}
    assert one(server, post, checksum=True)["checksum"] == hashlib.sha256(b'{"from":"publisher"}').hexdigest()
    assert one(server, post, userdata='{"from":"consumer"}')["valid"] is True
    seen = origin.requests("/echo")[-1]
    assert (seen.method, json.loads(seen.body)) == ("POST", {"from": "consumer"})


def test_redirects_are_followed_and_name_the_file(server: DemoServer, origin: Origin) -> None:
    assert one(server, url_file(f"{origin.url}/redirect")) == CSV_ITEM


def test_unknown_length_is_empty_text(server: DemoServer, origin: Origin) -> None:
    item = one(server, url_file(f"{origin.url}/chunked/3"), checksum=True)
    expected = hashlib.sha256(b"x" * 3 * 65536).hexdigest()
    assert (item["valid"], item["contentLength"], item["checksum"]) == (True, "", expected)


# Checksums


@pytest.mark.parametrize("wish", [True, 1, "true", "false", "0", [0]])
def test_checksum_is_given_for_any_truthy_value(server: DemoServer, origin: Origin, wish: object) -> None:
    item = one(server, url_file(f"{origin.url}/data.csv"), checksum=wish)
    assert item == {**CSV_ITEM, "checksum": CSV_SHA256, "checksumType": "sha256"}


@pytest.mark.parametrize("wish", [False, 0, "", None, []])
def test_checksum_is_not_given_otherwise(server: DemoServer, origin: Origin, wish: object) -> None:
    assert one(server, url_file(f"{origin.url}/data.csv"), checksum=wish) == CSV_ITEM


@pytest.mark.parametrize("path", ["/bytes/5242881", "/chunked/81"], ids=["announced", "found while reading"])
def test_files_over_the_limit_have_no_checksum(server: DemoServer, origin: Origin, path: str) -> None:
    item = one(server, url_file(origin.url + path), checksum=True)
    assert item["valid"] is True
    assert not item.keys() & {"checksum", "checksumType"}


def test_file_of_exactly_the_limit_has_a_checksum(server: DemoServer, origin: Origin) -> None:
    item = one(server, url_file(f"{origin.url}/bytes/5242880"), checksum=True)
    assert item["checksum"] == pattern_sha256(5_242_880)


# What cannot be reached


@pytest.mark.parametrize(
    "path", ["/missing", "/status/500", "/status/403", "/status/204", "/loop", "/silent", "/unsatisfiable"]
)
def test_what_does_not_answer_with_a_file_is_invalid(server: DemoServer, origin: Origin, path: str) -> None:
    assert one(server, url_file(origin.url + path)) == UNREACHABLE


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "no-such-host.invalid", "[::1]:{port}", "256.256.256.256", "a..b"]
)
def test_hosts_that_do_not_answer_are_invalid(server: DemoServer, host: str) -> None:
    where = host.format(port=free_ports(1)[0])
    assert one(server, url_file(f"http://{where}/planted-path")) == UNREACHABLE


def test_origin_that_dies_has_no_checksum(server: DemoServer, origin: Origin) -> None:
    for path in ("/dies", "/dies_chunked"):
        assert "checksum" not in one(server, url_file(origin.url + path), checksum=True)


def test_private_addresses_get_no_packet(launch: LaunchServer, origin: Origin, bought: tuple[Published, str]) -> None:
    own = launch(ALLOW_NON_PUBLIC_IP="", MAX_CHECKSUM_LENGTH="0")
    port, before = urlsplit(origin.url).port, len(origin.seen)
    hosts = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]", "[::]"]
    hosts += [
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "user:password@127.0.0.1",
        "LOCALHOST.",
        "127.0.0.2",
    ]
    for host in hosts:
        assert one(own, url_file(f"http://{host}:{port}/data.csv")) == UNREACHABLE, host
    for host in ("10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fc00::1]", "224.0.0.1"):
        assert one(own, url_file(f"http://{host}/latest/meta-data")) == UNREACHABLE, host
    assert all(item["valid"] is False for item in ask(own, by_asset(bought[0])).json())
    assert len(origin.seen) == before


# What is no file object


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ({"type": "url", "url": "http://x/y", "method": "delete"}, "Unsafe method delete."),
        ({"type": "url", "url": "http://x/y", "method": "PUT"}, "Unsafe method PUT."),
        (
            {"type": "url", "url": "ftp://x/planted"},
            "Invalid file name format. It was not possible to get the file name.",
        ),
        ({"type": "url", "url": "a/planted"}, "Invalid file name format. It was not possible to get the file name."),
        ({"type": "url", "url": ["http://x/y"]}, "malformed file object."),
        ({"type": "url", "url": 5}, "malformed file object."),
        ({"type": "url", "url": "http://x/\r\nplanted: 1"}, "malformed file object."),
        ({"type": "url", "url": "http://x/" + "p" * 20_000}, "malformed file object."),
        ({"type": "url", "url": " "}, "malformed service files, missing required keys."),
        ({"type": "url", "url": "http://x/y", "headers": "planted"}, "malformed file object."),
        ({"type": "url", "url": "http://x/y", "headers": ["planted"]}, "malformed file object."),
        ({"type": "url", "url": "http://x/y", "headers": {"a": 1}}, "malformed file object."),
        ({"type": "url", "url": "http://x/y", "headers": {"a\r\nb": "x"}}, "malformed file object."),
        ({"type": "url", "url": "http://x/y", "headers": {"a": "x\r\nb: planted"}}, "malformed file object."),
        ({"type": "url", "url": "http://x/y", "method": 5}, "malformed file object."),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_malformed_file_objects_are_400(server: DemoServer, file: dict[str, object], text: str) -> None:
    reply = ask(server, file)
    assert (reply.status, reply.json()) == (400, {"error": text})


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        (
            {},
            {
                "type": ["The type field is required when did is not present."],
                "did": ["The did field is required when type is not present."],
                "serviceId": ["The serviceId field is required when type is not present."],
            },
        ),
        ({"type": "sftp"}, {"type": ["The selected type is invalid."]}),
        ({"type": 5}, {"type": ["The selected type is invalid."]}),
        ({"type": ["url"]}, {"type": ["The selected type is invalid."]}),
        ({"type": "url"}, {"url": ["The url field is required when type is url."]}),
        ({"type": "url", "url": ""}, {"url": ["The url field is required when type is url."]}),
        ({"type": "ipfs"}, {"hash": ["The hash field is required when type is ipfs."]}),
        ({"type": "arweave"}, {"transactionId": ["The transactionId field is required when type is arweave."]}),
        ({"did": "0x1", "serviceId": "x"}, {"did": ["The did format is invalid."]}),
        ({"did": 5, "serviceId": "x"}, {"did": ["The did format is invalid."]}),
        ({"did": ["did:op:1"], "serviceId": "x"}, {"did": ["The did format is invalid."]}),
        ({"did": "did:op:1"}, {"serviceId": ["The serviceId field is required when type is not present."]}),
        ({"did": "did:op:1", "serviceId": ["x"]}, {"serviceId": ["The serviceId must be a string."]}),
        ({"did": "did:op:1", "serviceId": {"x": 1}}, {"serviceId": ["The serviceId must be a string."]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_validation_errors_have_the_documented_texts(
    server: DemoServer, value: dict[str, object], errors: dict[str, list[str]]
) -> None:
    reply = ask(server, value)
    assert (reply.status, reply.json()) == (400, {"errors": errors, "message": "Validation error", "success": False})


def test_urls_and_headers_stay_out_of_the_log(server: DemoServer, origin: Origin) -> None:
    one(
        server,
        {"type": "url", "url": f"{origin.url}/data.csv?key=planted-url-secret", "headers": {"A": "planted-header"}},
    )
    one(server, url_file(f"{origin.url}/status/500?key=planted-url-secret"))
    one(server, url_file("http://planted-host.invalid/planted-path"))
    assert "planted" not in server.child.stderr_tail(1 << 24)
