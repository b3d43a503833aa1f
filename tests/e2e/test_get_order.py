"""How `provider get` finds an order: on a real chain, with the server's word for what is valid."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from provider.commands.get.failures import GetFailed, Misuse, NoAccess
from provider.commands.get.links import Links, open_session
from provider.commands.get.order import Node, OrderSearch, Purchase, stored_asset
from provider.crypto.accounts import Account
from provider.testing.chain.keys import CONSUMER_KEY, STRANGER_KEY
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import Origin
from tests.support.raw_origin import Exchange, raw_origin

Find = Callable[..., Purchase]


@pytest.fixture
def find(server: DemoServer, chain: DemoChain) -> Find:
    """Searches as the consumer, with a node: `find(did, service_id=…, order_tx_id=…)`."""

    def search(
        did: str,
        *,
        key: str = CONSUMER_KEY,
        rpc: str | None = chain.url,
        store: str | None = None,
        service_id: str | None = None,
        order_tx_id: str | None = None,
        provider: str = server.url,
    ) -> Purchase:
        async def run() -> Purchase:
            async with open_session() as session:
                links = Links(session, provider, Account.from_hex(key))
                asset = await stored_asset(session, store, did, links.pause) if store else None
                node = Node(links, rpc) if rpc else None
                return await OrderSearch(
                    links, did, service_id=service_id, order_tx_id=order_tx_id, node=node, asset=asset
                ).run()

        return asyncio.run(run())

    return search


@pytest.fixture
def sold(sell: Sell, origin: Origin) -> tuple[Published, str]:
    return sell(url_file(f"{origin.url}/data.csv"))


@pytest.mark.parametrize("knows_store", [True, False], ids=["with a metadata store", "without"])
@pytest.mark.parametrize("knows_service", [True, False], ids=["service given", "service found"])
@pytest.mark.parametrize("knows_tx", [True, False], ids=["order given", "order found"])
def test_what_is_not_given_is_found(
    find: Find,
    sold: tuple[Published, str],
    metadata_store: MetadataStore,
    knows_store: bool,
    knows_service: bool,
    knows_tx: bool,
) -> None:
    asset, order_tx = sold
    purchase = find(
        asset.did,
        store=metadata_store.url if knows_store else None,
        service_id=asset.service(0)["id"] if knows_service else None,
        order_tx_id=order_tx if knows_tx else None,
    )
    assert purchase == Purchase(asset.service(0)["id"], order_tx)


def test_of_two_services_the_ordered_one_is_found(
    find: Find, publisher: StoringPublisher, consumer: Consumer, origin: Origin
) -> None:
    file = url_file(f"{origin.url}/data.csv")
    asset = publisher.publish([file], [file])
    publisher.mint(asset.datatokens[1], consumer.address)
    order_tx = consumer.order(asset, 1)
    expected = Purchase(asset.service(1)["id"], order_tx)
    assert find(asset.did) == expected
    assert find(asset.did, order_tx_id=order_tx) == expected
    with pytest.raises(NoAccess, match="has not ordered"):
        find(asset.did, service_id=asset.service(0)["id"])


def test_an_expired_order_is_passed_over_for_a_valid_one(
    find: Find, chain: DemoChain, publisher: StoringPublisher, consumer: Consumer, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], timeout_seconds=600)
    for _ in range(2):
        publisher.mint(asset.datatokens[0], consumer.address)
    with chain.clock_shifted(-3600):
        consumer.order(asset)
    with pytest.raises(
        NoAccess, match=r"no order of 0x\w+ for did:op:\w+ is valid; the newest is of 20.*: order again"
    ):
        find(asset.did)
    valid = consumer.order(asset)
    assert find(asset.did).order_tx_id == valid


def test_who_ordered_nothing_is_told_what_to_do(find: Find, sold: tuple[Published, str]) -> None:
    asset, _ = sold
    with pytest.raises(NoAccess, match="buy access first"):
        find(asset.did, key=STRANGER_KEY, service_id=asset.service(0)["id"])
    with pytest.raises(NoAccess, match="name the service with --service"):
        find(asset.did, key=STRANGER_KEY)


def test_without_a_node_nothing_is_searched(
    find: Find, sold: tuple[Published, str], metadata_store: MetadataStore
) -> None:
    asset, order_tx = sold
    service_id = asset.service(0)["id"]
    with pytest.raises(Misuse, match="--rpc"):
        find(asset.did, rpc=None)
    assert find(asset.did, rpc=None, order_tx_id=order_tx, store=metadata_store.url).service_id == service_id
    nobody = "http://127.0.0.1:1"
    assert (
        find(asset.did, rpc=None, service_id=service_id, order_tx_id=order_tx, provider=nobody).order_tx_id == order_tx
    )


def test_events_of_a_foreign_contract_are_no_orders(
    find: Find, sold: tuple[Published, str], stranger: Consumer, consumer: Consumer
) -> None:
    asset, order_tx = sold
    started = forge.order_started(
        consumer.address, payer=consumer.address, service_index=0, timestamp=int(time.time()) + 60
    )
    forge.emit(stranger.wallet, [started])
    assert find(asset.did).order_tx_id == order_tx
    assert find(asset.did, service_id=asset.service(0)["id"]).order_tx_id == order_tx


def test_a_provider_that_shows_no_documents_needs_the_service(
    find: Find, launch: LaunchServer, sold: tuple[Published, str]
) -> None:
    asset, order_tx = sold
    closed = launch(AUTHORIZED_DECRYPTERS='["0x00000000000000000000000000000000000000aa"]')
    with pytest.raises(NoAccess, match="give --service"):
        find(asset.did, provider=closed.url)
    assert find(asset.did, provider=closed.url, service_id=asset.service(0)["id"]).order_tx_id == order_tx


@asynccontextmanager
async def limited_node(chain: DemoChain, most_blocks: int) -> AsyncIterator[tuple[str, list[tuple[int, int]]]]:
    """The chain's node behind a limit of blocks for eth_getLogs; also yields the ranges that it answered."""
    answered: list[tuple[int, int]] = []

    def forward(body: bytes) -> bytes:
        request = urllib.request.Request(chain.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return bytes(response.read())

    async def script(exchange: Exchange) -> bool:
        body = exchange.request.partition(b"\r\n\r\n")[2]
        asked: dict[str, Any] = json.loads(body)
        reply = b""
        if asked["method"] == "eth_getLogs":
            first, last = (int(asked["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
            if last - first >= most_blocks:
                fault = {"code": -32005, "message": f"query is limited to {most_blocks} blocks"}
                reply = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": fault}).encode()
            else:
                answered.append((first, last))
        reply = reply or await asyncio.to_thread(forward, body)
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(reply), reply))
        return True

    async with raw_origin(script) as origin:
        yield origin.url, answered


@pytest.mark.parametrize("most_blocks", [1, 7])
def test_a_node_with_a_limit_is_asked_in_pieces_and_the_newest_first(
    server: DemoServer, chain: DemoChain, sold: tuple[Published, str], most_blocks: int
) -> None:
    asset, order_tx = sold

    async def scene() -> None:
        async with limited_node(chain, most_blocks) as (url, answered), open_session() as session:
            links = Links(session, server.url, Account.from_hex(CONSUMER_KEY))
            search = OrderSearch(
                links,
                asset.did,
                service_id=asset.service(0)["id"],
                order_tx_id=None,
                node=Node(links, url),
                asset=None,
            )
            assert (await search.run()).order_tx_id == order_tx
            assert all(later[0] == earlier[1] + 1 for later, earlier in pairwise(answered))
            assert len(answered) < 5

    asyncio.run(scene())


def test_a_node_that_is_none_is_told_apart_from_no_order(
    find: Find, sold: tuple[Published, str], origin: Origin
) -> None:
    asset, _ = sold
    with pytest.raises(GetFailed, match="node"):
        find(asset.did, rpc=f"{origin.url}/data.csv")
