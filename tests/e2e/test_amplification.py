"""What anonymous requests make this server ask of others: counted for each question, bounded, shared, and stopped."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from provider.testing.http_client import Reply, ReplyRefused, request
from provider.testing.market.publisher import Published, files_document, url_file
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.compute import FREE, RAW, ComputeClient
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import Origin

RATED = {"PROVIDER_LIMIT_PRIVATE_CLIENTS": "true", "PROVIDER_GUARDED_REQUESTS_PER_SECOND": "1"}
TOO_LONG = {"error": "The file list holds more than 100 files."}
NEEDS_ARGUMENTS: dict[str, object] = {
    "type": "smartcontract",
    "address": "0x" + "12" * 20,
    "abi": {"name": "f", "type": "function", "stateMutability": "view", "inputs": [{"name": "a", "type": "uint256"}]},
}


def ask(server: DemoServer, path: str, value: object) -> Reply:
    body = json.dumps(value).encode()
    return request("POST", f"{server.url}/api/services/{path}", body=body, headers={"Content-Type": "application/json"})


def inspect(server: DemoServer, asset: Published, **more: Any) -> Reply:
    return ask(server, "fileinfo", {"did": asset.did, "serviceId": asset.service()["id"], **more})


def numbered(origin: Origin, name: str, count: int, **more: str) -> list[dict[str, object]]:
    return [url_file(f"{origin.url}/data.csv?{name}={number}", headers=more) for number in range(count)]


def asked(origin: Origin, name: str) -> int:
    return sum(name in seen.query for seen in origin.requests("/data.csv"))


def test_long_file_list_is_not_encrypted(publisher: StoringPublisher, origin: Origin) -> None:
    with pytest.raises(ReplyRefused) as refused:
        publisher.publish(numbered(origin, "many", 101))
    assert (refused.value.reply.status, refused.value.reply.json()) == (400, TOO_LONG)


def test_long_file_list_from_elsewhere_is_not_worked_on_and_each_file_can_be_bought(
    server: DemoServer, publisher: StoringPublisher, metadata_store: MetadataStore, origin: Origin
) -> None:
    """A text this long is not looked at when it is encrypted."""
    asset = publisher.publish(numbered(origin, "short", 1))
    files = files_document(asset.data_nft, asset.datatokens[0], numbered(origin, "long", 101, padding="x" * 3000))
    metadata_store.documents[asset.did]["services"][0]["files"] = publisher.encrypt(files)
    reply = inspect(server, asset)
    assert (reply.status, reply.json()) == (400, {"error": f"Provider Ganache: {TOO_LONG['error']}"})
    assert asked(origin, "long") == 0
    query = f"documentId={asset.did}&serviceId={asset.service()['id']}&fileIndex=100"
    quoted = request("GET", f"{server.url}/api/services/initialize?{query}&consumerAddress={publisher.wallet.address}")
    assert (quoted.status, asked(origin, "long")) == (200, 1)


def test_each_file_of_a_list_costs_its_client_a_request(
    launch: LaunchServer, publisher: StoringPublisher, origin: Origin
) -> None:
    server = launch(**RATED, PROVIDER_GUARDED_BURST="5")
    asset = publisher.publish(numbered(origin, "paid", 30))
    assert inspect(server, asset).status == 200
    assert asked(origin, "paid") == 30
    refused = inspect(server, asset, checksum=True)
    assert (refused.status, asked(origin, "paid")) == (429, 30)
    assert int(refused.headers["retry-after"]) >= 9


def test_redirects_cost_their_client_requests(launch: LaunchServer, origin: Origin) -> None:
    server = launch(**RATED, PROVIDER_GUARDED_BURST="1")
    before = len(origin.requests("/loop"))
    reply = ask(server, "fileinfo", url_file(f"{origin.url}/loop"))
    assert (reply.status, reply.json()[0]["valid"]) == (200, False)
    hops = len(origin.requests("/loop")) - before
    assert hops > 3
    refused = ask(server, "fileinfo", url_file(f"{origin.url}/data.csv"))
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) >= hops - 3


def test_those_who_ask_for_one_list_share_its_answer(
    server: DemoServer, publisher: StoringPublisher, origin: Origin
) -> None:
    asset = publisher.publish(numbered(origin, "shared", 20))
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: inspect(server, asset), range(10)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert asked(origin, "shared") == 20
    # Other user data make other requests to the origin.
    assert inspect(server, asset, userdata={"own": "1"}).status == 200
    assert asked(origin, "shared") == 40


def test_each_file_of_a_list_answers_for_itself(
    server: DemoServer, publisher: StoringPublisher, origin: Origin
) -> None:
    good = url_file(f"{origin.url}/data.csv")
    broken: list[dict[str, object]] = [NEEDS_ARGUMENTS, {"type": "url"}, {"type": "banana", "url": "x"}, {}]
    asset = publisher.publish([good, *broken, good])
    reply = inspect(server, asset)
    assert reply.status == 200, reply.body
    items = reply.json()
    assert [item["index"] for item in items] == list(range(6))
    assert [item["valid"] for item in items] == [True, *[False] * 4, True]
    kinds = ["url", "smartcontract", "url", "unknown", "unknown", "url"]
    assert [item["type"] for item in items] == kinds


# Endpoints of other Providers


@pytest.mark.parametrize(("suffix", "questions"), [("?x=", 0), ("", 1)])
def test_endpoint_of_many_items_is_asked_once_and_never_with_a_query(
    c2d: ComputeClient, origin: Origin, suffix: str, questions: int
) -> None:
    """The stand-in for a third party is no Provider: 49 items used to be 98 requests to it, again at each request."""
    path = f"/missing/{questions}"
    main, theirs = c2d.dataset(f"{origin.url}/data.csv"), c2d.dataset(f"{origin.url}/data.csv", kind="access")
    c2d.document(theirs)["services"][0].update(files="0x00", serviceEndpoint=f"{origin.url}{path}{suffix}")
    items = [c2d.item(main), *[c2d.item(theirs)] * 49]
    for _ in range(2):
        reply = c2d.quote(items, {"meta": RAW}, environment=FREE)
        assert (reply.status, reply.json()) == (400, {"error": {"datasets[1]": "other_provider_failed"}})
    assert sum(seen.path.startswith(path) for seen in origin.seen) == questions


def test_each_item_of_a_quote_costs_its_client_a_request(
    launch: LaunchServer, c2d: ComputeClient, origin: Origin
) -> None:
    server = launch(**RATED, PROVIDER_GUARDED_BURST="20", OPERATOR_SERVICE_URL=c2d.operator.url)
    main = c2d.dataset(f"{origin.url}/data.csv")
    client = replace(c2d, server=server)
    assert client.quote([c2d.item(main)] * 40, {"meta": RAW}, environment=FREE).status == 200
    assert client.quote([c2d.item(main)], {"meta": RAW}, environment=FREE).status == 429
