"""Contracts of strangers and nodes that are ill, seen by the others: a server with two endpoints of the real chain."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, STRANGER_KEY
from provider.testing.child import Children
from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import files_document, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_decrypt import by_transaction, document_of, post
from tests.support.contract_account import RETURNING_MEGABYTES, REVERTING_WITH_RATE_LIMIT, deploy
from tests.support.downloads import ask
from tests.support.illnesses import ILLNESSES
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

OTHERS = 20
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:web3")


@pytest.fixture(scope="module")
def proxies(chain: DemoChain) -> Iterator[list[RpcProxy]]:
    with running_rpc_proxy(chain.url) as first, running_rpc_proxy(chain.url) as second:
        yield [first, second]


@pytest.fixture(scope="module")
def server_of_two(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    tmp_path_factory: pytest.TempPathFactory,
    proxies: list[RpcProxy],
) -> DemoServer:
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "NETWORK_URL": json.dumps([proxy.url for proxy in proxies]),
    }
    started = launch_server(children, chain, Path(tmp_path_factory.mktemp("hostile")), settings, name="server-hostile")
    started.wait_ready()
    return started


@pytest.fixture(scope="module")
def reverting(chain: DemoChain) -> str:
    return deploy(chain.wallet(STRANGER_KEY), REVERTING_WITH_RATE_LIMIT)


def in_one_burst(calls: list[Callable[[], Reply]]) -> list[Reply]:
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Reply]) -> Reply:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def contract_file(address: str) -> dict[str, object]:
    abi = {
        "type": "function",
        "name": "decimals",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
        "stateMutability": "view",
    }
    return {"type": "smartcontract", "address": address, "chainId": 8996, "abi": abi}


def endpoints_up(server: DemoServer) -> bool:
    metrics = request("GET", f"{server.admin_url}/metrics").body.decode()
    values = re.findall(r"^provider_rpc_endpoint_up\{.*\} (\d)", metrics, re.M)
    return values == ["1", "1"]


def test_a_reverting_contract_that_a_stranger_names_spoils_nothing_for_the_others(
    server_of_two: DemoServer, chain: DemoChain, publisher: StoringPublisher, stranger: Consumer, reverting: str
) -> None:
    documents = []
    for _ in range(OTHERS):
        nft, _ = publisher.create_nft()
        documents.append((publisher.set_metadata(nft, document_of(nft), flags=2), nft))
    others = [Consumer(chain.wallet(f"0x{number:064x}"), server_of_two.url) for number in range(1, OTHERS + 1)]
    asked = [by_transaction(other, tx, nft) for other, (tx, nft) in zip(others, documents, strict=True)]
    foul = by_transaction(stranger, documents[0][0], reverting)
    file = contract_file(reverting)
    forged = {**by_transaction(stranger, documents[0][0], documents[0][1]), "decrypterAddress": reverting}
    replies = in_one_burst(
        [
            *(lambda value=value: post(server_of_two, value) for value in asked),
            lambda: post(server_of_two, foul),
            lambda: post(server_of_two, file, "/api/services/fileinfo"),
            lambda: post(server_of_two, forged),
        ]
    )
    assert [reply.status for reply in replies[:OTHERS]] == [201] * OTHERS
    assert replies[OTHERS].status == 400
    assert replies[OTHERS + 1].status == 200
    assert replies[OTHERS + 1].json()[0]["valid"] is False
    assert replies[OTHERS + 2].status in (400, 401)
    assert endpoints_up(server_of_two)
    assert "ejected" not in server_of_two.child.stderr_tail(1 << 22)


@pytest.mark.parametrize("code", [REVERTING_WITH_RATE_LIMIT, RETURNING_MEGABYTES], ids=["reverts", "returns megabytes"])
def test_contracts_of_strangers_never_eject_an_endpoint(
    server_of_two: DemoServer, chain: DemoChain, proxies: list[RpcProxy], code: bytes
) -> None:
    file = contract_file(deploy(chain.wallet(STRANGER_KEY), code))
    before = [len(proxy.trips) for proxy in proxies]
    replies = in_one_burst([lambda: post(server_of_two, file, "/api/services/fileinfo")] * 10)
    assert {(reply.status, reply.json()[0]["valid"]) for reply in replies} == {(200, False)}
    assert endpoints_up(server_of_two)
    assert "ejected" not in server_of_two.child.stderr_tail(1 << 22)
    # What a contract answers is final: the other node is not asked.
    asked = [trip for trip in proxies[1].trips[before[1] :] if "eth_call" in trip]
    assert asked == []


SERVED = ["internal error", "unauthorised", "contracts are not there yet", "HTML"]


@pytest.mark.parametrize("ill_first", [True, False], ids=["ill, well", "well, ill"])
@pytest.mark.parametrize("illness", SERVED)
def test_quotes_downloads_and_documents_are_served_while_one_node_is_ill(
    launch: LaunchServer,
    chain: DemoChain,
    proxies: list[RpcProxy],
    publisher: StoringPublisher,
    sell: Sell,
    origin: Origin,
    consumer: Consumer,
    illness: str,
    ill_first: bool,
) -> None:
    ill = proxies[0]
    ill.manner = ILLNESSES[illness](chain.url)
    try:
        urls = [ill.url, chain.url] if ill_first else [chain.url, ill.url]
        own = launch(NETWORK_URL=json.dumps(urls))
        buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
        asset, tx = sell(url_file(f"{origin.url}/data.csv"))
        assert buyer.initialize(asset)["datatoken"] == asset.datatokens[0]
        assert ask(buyer, asset, tx).body == CSV
        nft, _ = publisher.create_nft()
        written = publisher.set_metadata(nft, document_of(nft), flags=2)
        assert post(own, by_transaction(consumer, written, nft)).status == 201
    finally:
        ill.manner = None


def test_after_an_indexer_opened_a_new_document_every_worker_serves_the_new_file(
    launch: LaunchServer,
    chain: DemoChain,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    origin: Origin,
    sell: Sell,
    stranger: Consumer,
) -> None:
    """As ocean.py's test of updates does."""
    own = launch(PROVIDER_WORKERS="2")
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    asset, tx = sell(url_file(f"{origin.url}/data.csv"))
    for _ in range(12):  # every worker has the document
        assert ask(buyer, asset, tx).body == CSV
    clear = files_document(asset.data_nft, asset.datatokens[0], [url_file(f"{origin.url}/bytes/1000")])
    files = publisher.encrypt(clear)
    document = {**asset.ddo, "services": [{**asset.ddo["services"][0], "files": files}]}
    written = publisher.set_metadata(asset.data_nft, json.dumps(document).encode(), flags=2)
    assert post(own, by_transaction(stranger, written, asset.data_nft)).status == 201
    metadata_store.documents[asset.did] |= document
    for _ in range(12):
        assert len(ask(buyer, asset, tx).body) == 1000
