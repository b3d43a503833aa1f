"""GET download and the chain's node: round trips, waiting for a block, outage, failover."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY
from provider.testing.child import Children
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.downloads import ask, refused
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin, wait_until
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

NO_NODE = "The blockchain node cannot be reached, please try again later."


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
    nonce = int(proxied.next_nonce())
    urls = [proxied.download_url(*sold, nonce=str(nonce + i)) for i in range(3)]
    rpc.trips.clear()
    assert request("GET", urls[0]).body == CSV
    assert len(rpc.trips) == 1, rpc.trips
    rpc.trips.clear()
    for url in urls[1:]:
        assert request("GET", url).body == CSV
    assert rpc.trips == []


def test_root_and_nonce_ask_no_node(proxied: Consumer, rpc: RpcProxy) -> None:
    rpc.up = False
    rpc.trips.clear()
    assert request("GET", f"{proxied.provider_url}/").status == 200
    assert proxied.next_nonce().isdigit()
    assert rpc.trips == []


def test_forged_downloads_ask_the_node_once_and_never_for_an_asset(
    launch: LaunchServer, chain: DemoChain, consumer: Consumer, rpc: RpcProxy
) -> None:
    """The server reads metadata from the chain, where it would look for each DID that it does not know."""
    rpc.trips.clear()
    own = launch(AQUARIUS_URL="", NETWORK_URL=rpc.url, PROVIDER_INDEX_POLL_SECONDS="3600")
    victim = chain.wallet(PUBLISHER_KEY).address
    # The last question of the first reading is about transfers.
    wait_until(lambda: ["eth_getLogs"] in rpc.trips)
    rpc.trips.clear()
    for number in range(30):
        did = f"did:op:{number:064x}"
        parameters = {
            "documentId": did,
            "serviceId": "1",
            "transferTxId": f"0x{number:064x}",
            "fileIndex": "0",
            "consumerAddress": victim,
            "nonce": str(number + 1),
            "signature": consumer.sign(did, str(number + 1)),
        }
        assert request("GET", with_query(f"{own.url}/api/services/download", parameters)).status == 400
    assert [method for trip in rpc.trips for method in trip if method != "eth_chainId"] == ["eth_getCode"]


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
    nonce = int(proxied.next_nonce())
    urls = [proxied.download_url(*sold, nonce=str(nonce + i)) for i in range(8)]
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
