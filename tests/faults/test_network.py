"""Lost packets and partitions, made by the kernel's firewall in a network that the tests have for themselves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, chain_ready, launch_server
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.footprint import footprint, held_too_long
from tests.support.metadata_store import MetadataStore, StoringPublisher, running_metadata_store
from tests.support.origin import Origin, pattern_sha256, running_origin, wait_until
from tests.support.own_network import Firewall, NotAllowed, own_network

NO_NODE = "The blockchain node cannot be reached, please try again later."


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """What the fixtures and tests of this file start is in a network of its own; skipped where that is not allowed."""
    try:
        with own_network():
            yield
    except NotAllowed as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def chain(network: None, children: Children) -> Iterator[DemoChain]:
    child = children.start("chain-apart", ["-m", "provider.testing.chain.chain", "--watch-stdin"])
    yield chain_ready(child)
    child.stop()


@pytest.fixture(scope="module")
def origin(network: None) -> Iterator[Origin]:
    with running_origin() as running:
        yield running


@pytest.fixture(scope="module")
def metadata_store(network: None) -> Iterator[MetadataStore]:
    with running_metadata_store() as running:
        yield running


@pytest.fixture(scope="module")
def server(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path
) -> Iterator[DemoServer]:
    """Where assets are encrypted and orders begin."""
    started = launch_server(children, chain, server_folder, {"AQUARIUS_URL": metadata_store.url}, name="server-apart")
    started.wait_ready()
    yield started
    started.child.stop()


@pytest.fixture(scope="module")
def sell(chain: DemoChain, server: DemoServer, metadata_store: MetadataStore) -> Sell:
    publisher = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
    publisher.store = metadata_store

    def publish_and_order(*files: dict[str, object]) -> tuple[Published, str]:
        asset = publisher.publish(list(files))
        buyer = customer(chain, server)
        publisher.mint(asset.datatokens[0], buyer.address)
        return asset, buyer.order(asset)

    return publish_and_order


@pytest.fixture(scope="module")
def bought(sell: Sell, origin: Origin) -> tuple[Published, str]:
    return sell(url_file(f"{origin.url}/data.csv"), url_file(f"{origin.url}/bytes/300000"))


@pytest.fixture
def firewall(network: None) -> Iterator[Firewall]:
    wall = Firewall()
    yield wall
    wall.heal()


def customer(chain: DemoChain, own: DemoServer) -> Consumer:
    return Consumer(chain.wallet(CONSUMER_KEY), own.url)


def test_lost_packets_change_no_byte(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, firewall: Firewall
) -> None:
    size = 3_000_000
    own = launch()
    buyer = customer(chain, own)
    sold = sell(url_file(f"{origin.url}/bytes/{size}"))
    nonce = int(buyer.next_nonce())
    assert buyer.download(*sold, nonce=str(nonce)).status == 200
    firewall.drop(origin.url, probability=0.02)
    firewall.drop(own.url, probability=0.02)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda i: buyer.download(*sold, nonce=str(nonce + i)), (4, 3, 2, 1)))
    # Of nonces sent at once those behind a greater one are refused; what is served is whole.
    assert 200 in {one.status for one in done}
    assert {one.sha256 for one in done if one.status == 200} == {pattern_sha256(size)}
    firewall.heal()


def test_origin_that_is_cut_off_in_the_middle_is_a_visible_cut_and_leaves_nothing_behind(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, firewall: Firewall
) -> None:
    own = launch(PROVIDER_IDLE_TIMEOUT_SECONDS="1", REQUEST_TIMEOUT="1", PROVIDER_MAX_RESUMES="0")
    buyer = customer(chain, own)
    sold = sell(url_file(f"{origin.url}/bytes/60000000"))
    assert buyer.download(*sold).complete
    before = footprint(own.child.pid)
    received = 0

    def cut_off(count: int) -> None:
        nonlocal received
        received += count
        if received > 1_000_000 and not firewall.rules:
            firewall.drop(origin.url)

    done = buyer.download(*sold, progress=cut_off)
    assert firewall.rules
    assert (done.status, done.complete) == (200, False)
    firewall.heal()
    assert not held_too_long(before, own.child.pid, more_descriptors=0)
    assert buyer.download(*sold).complete


def test_node_behind_a_partition_is_503_for_what_is_not_known_yet(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, firewall: Firewall
) -> None:
    own = launch(PROVIDER_RPC_TIMEOUT_SECONDS="0.5")
    buyer = customer(chain, own)
    known, fresh = sell(url_file(f"{origin.url}/data.csv")), sell(url_file(f"{origin.url}/data.csv"))
    assert buyer.download(*known).status == 200
    urls = [buyer.download_url(*known, nonce="900000001"), buyer.download_url(*fresh, nonce="900000002")]
    firewall.drop(chain.url)
    assert request("GET", urls[0]).status == 200
    refused = request("GET", urls[1])
    assert (refused.status, refused.error_text()) == (503, f"Provider Ganache: {NO_NODE}")
    assert int(refused.headers["retry-after"]) >= 1
    wait_until(lambda: request("GET", f"{own.admin_url}/readyz").status == 503)
    firewall.heal()
    wait_until(lambda: request("GET", f"{own.admin_url}/readyz").status == 200)
    assert buyer.download(*fresh, nonce="900000003").status == 200


def test_metadata_store_behind_a_partition_is_503_and_never_no_such_asset(
    launch: LaunchServer,
    chain: DemoChain,
    sell: Sell,
    origin: Origin,
    firewall: Firewall,
    metadata_store: MetadataStore,
) -> None:
    own = launch(PROVIDER_METADATA_TIMEOUT_SECONDS="0.5")
    buyer = customer(chain, own)
    sold = sell(url_file(f"{origin.url}/data.csv"))
    firewall.drop(metadata_store.url)
    assert buyer.download(*sold).status == 503
    firewall.heal()
    wait_until(lambda: buyer.download(*sold).status == 200)
