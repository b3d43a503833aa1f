"""Orders on a real chain with the real contracts: from the transaction over OrderLookup to the decision."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from provider.assets.ddo import Asset
from provider.cache import FactCache
from provider.chain.config import RpcConfig
from provider.chain.networks import Network, Networks
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.errors import AssetNotFound, OrderFeeMissing, OrderNotConsumer, OrderNotFound, PublisherNotAuthorized
from provider.observability.metrics.backends import Chains
from provider.orders.check import Order, check_order
from provider.orders.fees import quote_fee
from provider.orders.lookup import OrderLookup
from provider.policy.access_lists import AccessLists
from provider.policy.address_rule import AddressRule
from provider.policy.publishers import Publishers
from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY, STRANGER_KEY
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer, fee_tuple
from provider.testing.market.publisher import Published, Publisher
from provider.testing.stage import DemoChain
from tests.support.assets import ASSET
from tests.support.contract_account import deploy, returning_address
from tests.support.rpc_nodes import exchanges
from tests.support.services import service

ACCOUNT = Account.from_hex(PROVIDER_KEY)


class Desk:
    """Asks the chain as a download does, and counts the exchanges."""

    def __init__(self, chain: DemoChain) -> None:
        self.metrics = Chains()
        self.network = Network(
            chain_id=8996,
            name="Ganache",
            rpc=Rpc([chain.url], RpcConfig(), chain_id=8996, metrics=self.metrics),
            factory=chain.contracts.factory,
            fee_token=chain.contracts.ocean,
            account=ACCOUNT,
        )
        caches = [FactCache(name="x", max_entries=50, ttl_seconds=60) for _ in range(5)]
        self.lookup = OrderLookup(
            states=caches[0],
            datatokens=caches[1],
            receipts=caches[2],
            factory_nfts=caches[3],
            owners=caches[4],
            receipt_wait_seconds=0.2,
        )

    @property
    def exchanges(self) -> dict[object, float]:
        """By outcome."""
        return {outcome: count for (_, outcome), count in exchanges(self.metrics).items()}

    async def order(self, asset: Published, tx_id: str, sender: str, index: int = 0, **more: Any) -> Order:
        state, facts = await self.lookup.facts(
            self.network, data_nft=asset.data_nft, datatoken=asset.datatokens[index], tx_id=tx_id
        )
        assert state == 0
        return check_order(
            facts,
            service(asset.service(index)["id"], index=index, datatoken=asset.datatokens[index]),
            tx_id=tx_id,
            sender=sender,
            provider=ACCOUNT.address,
            now=time.time(),
            **more,
        )


@asynccontextmanager
async def open_desk(chain: DemoChain) -> AsyncIterator[Desk]:
    desk = Desk(chain)
    try:
        yield desk
    finally:
        await desk.network.rpc.close()


def our_fee(chain: DemoChain, asset: Published, index: int = 0, **more: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "token": chain.contracts.ocean,
        "amount": 0,
        "valid_until": 0,
        "datatoken": asset.datatokens[index],
        "service_id": asset.service(index)["id"],
        "environment": None,
        "now": time.time(),
        **more,
    }
    return dict(quote_fee(ACCOUNT, **arguments))


@pytest.fixture
def order_tx(offline_publisher: Publisher, consumer: Consumer, published: Published, chain: DemoChain) -> str:
    offline_publisher.mint(published.datatokens[0], consumer.address)
    return consumer.order(published, fee=our_fee(chain, published))


@pytest.mark.gen_test(timeout=20)
async def test_an_order_with_our_quote_is_valid_after_one_round_trip(
    chain: DemoChain, published: Published, consumer: Consumer, order_tx: str
) -> None:
    async with open_desk(chain) as desk:
        order = await desk.order(published, order_tx, consumer.address)
        assert (order.tx_id, order.started_tx_id) == (order_tx, order_tx)
        assert (order.consumer, order.payer) == (consumer.address, consumer.address)
        assert abs(order.started_at - time.time()) < 3600
        await desk.order(published, order_tx, consumer.address)
        assert desk.exchanges == {"ok": 1}


@pytest.mark.gen_test(timeout=20)
async def test_a_fee_signed_by_eth_account_is_valid_too(
    chain: DemoChain,
    offline_publisher: Publisher,
    published: Published,
    consumer: Consumer,
    signed_fee: Callable[..., dict[str, object]],
) -> None:
    offline_publisher.mint(published.datatokens[1], consumer.address)
    fee = signed_fee(published.datatokens[1], published.service(1)["id"])
    tx = consumer.order(published, 1, fee=fee)
    async with open_desk(chain) as desk:
        assert (await desk.order(published, tx, consumer.address, 1)).fee.amount == 0
        with pytest.raises(OrderFeeMissing):
            await desk.order(published, tx, consumer.address, 0)


@pytest.mark.gen_test(timeout=20)
async def test_a_renewed_order_is_valid_after_two_round_trips(
    chain: DemoChain, published: Published, consumer: Consumer, order_tx: str
) -> None:
    renewed_tx = consumer.reuse_order(published, order_tx, fee=our_fee(chain, published))
    async with open_desk(chain) as desk:
        order = await desk.order(published, renewed_tx, consumer.address)
        assert (order.tx_id, order.started_tx_id) == (renewed_tx, order_tx)
        assert desk.exchanges == {"ok": 2}


@pytest.mark.gen_test(timeout=20)
async def test_an_order_is_good_for_its_consumer_and_payer_only(
    chain: DemoChain,
    offline_publisher: Publisher,
    published: Published,
    consumer: Consumer,
    stranger: Consumer,
    order_tx: str,
) -> None:
    offline_publisher.mint(published.datatokens[0], consumer.address)
    gift = consumer.order(published, fee=our_fee(chain, published), consumer=stranger.address)
    async with open_desk(chain) as desk:
        assert (await desk.order(published, gift, stranger.address)).payer == consumer.address
        with pytest.raises(OrderNotConsumer):
            await desk.order(published, order_tx, stranger.address)


@pytest.mark.gen_test(timeout=20)
async def test_an_unknown_transaction_and_a_foreign_one_are_no_order(
    chain: DemoChain, published: Published, consumer: Consumer
) -> None:
    async with open_desk(chain) as desk:
        with pytest.raises(OrderNotFound):
            await desk.order(published, "0x" + "11" * 32, consumer.address)
        publishing = await desk.lookup.receipt(desk.network, published.publish_tx)
        assert publishing is not None
        assert [event.emitter for event in publishing.metadata] == [published.data_nft]
        with pytest.raises(OrderFeeMissing):
            await desk.order(published, published.publish_tx, consumer.address)


@pytest.mark.gen_test(timeout=20)
async def test_events_of_a_forging_contract_are_no_order(
    chain: DemoChain, published: Published, stranger: Consumer, order_tx: str
) -> None:
    """K1: the quoted fee is genuine and every event well-formed, but no datatoken emitted them."""
    quote = forge.provider_fee(fee_tuple(our_fee(chain, published)))
    bought = forge.order_started(stranger.address, payer=stranger.address, service_index=0, timestamp=int(time.time()))
    renewed = forge.order_reused(order_tx, caller=stranger.address, timestamp=int(time.time()))
    async with open_desk(chain) as desk:
        for steps in ([quote, bought], [quote, renewed], [quote, bought, renewed]):
            forged_tx, _ = forge.emit(stranger.wallet, steps)
            receipt = await desk.lookup.receipt(desk.network, forged_tx)
            assert receipt is not None
            assert len(receipt.provider_fees) == 1
            with pytest.raises(OrderFeeMissing):
                await desk.order(published, forged_tx, stranger.address)


@pytest.mark.gen_test(timeout=20)
async def test_only_nfts_of_the_factory_are_genuine(chain: DemoChain, published: Published) -> None:
    async with open_desk(chain) as desk:
        assert await desk.lookup.is_factory_nft(desk.network, published.data_nft) is True
        assert await desk.lookup.is_factory_nft(desk.network, published.datatokens[0]) is False
        assert await desk.lookup.is_deployed(desk.network, published.data_nft, published.datatokens[0]) is True
        assert await desk.lookup.is_deployed(desk.network, published.data_nft, published.data_nft) is False
        assert await desk.lookup.is_deployed(desk.network, ACCOUNT.address, published.datatokens[0]) is False
        assert await desk.lookup.nft_state(desk.network, ACCOUNT.address) == -1


@pytest.mark.gen_test(timeout=20)
async def test_a_contract_of_a_stranger_has_no_genuine_owner(chain: DemoChain, published: Published) -> None:
    """It names whatever owner it likes."""
    listed = chain.wallet(PUBLISHER_KEY).address
    lying = deploy(chain.wallet(STRANGER_KEY), returning_address(listed))
    async with open_desk(chain) as desk:
        assert await desk.lookup.genuine_owner(desk.network, published.data_nft) == listed
        assert await desk.lookup.nft_owner(desk.network, lying) == listed
        assert await desk.lookup.genuine_owner(desk.network, lying) is None
        assert await desk.lookup.genuine_owner(desk.network, ACCOUNT.address) is None


NO_TX = "0x" + "00" * 32


@pytest.mark.gen_test(timeout=20)
async def test_the_sender_of_a_document_is_in_the_transaction_that_published_it(
    chain: DemoChain, published: Published
) -> None:
    publisher, tx_id = chain.wallet(PUBLISHER_KEY).address, published.publish_tx
    async with open_desk(chain) as desk:

        async def senders(data_nft: str, tx_id: str | None) -> frozenset[str]:
            return await desk.lookup.document_senders(desk.network, data_nft, tx_id)

        assert await senders(published.data_nft, tx_id) == {publisher}
        # A transaction of another NFT, none, and no NFT of the factory.
        assert await senders(published.datatokens[0], tx_id) == frozenset()
        for unknown in (NO_TX, "0x12", None):
            assert await senders(published.data_nft, unknown) == frozenset()


def asset_of(published: Published, tx_id: str | None) -> Asset:
    return replace(ASSET, data_nft=published.data_nft, metadata_tx_id=tx_id)


@pytest.mark.gen_test(timeout=20)
async def test_only_assets_of_authorized_publishers_are_served(chain: DemoChain, published: Published) -> None:
    publisher, stranger = (chain.wallet(key).address for key in (PUBLISHER_KEY, STRANGER_KEY))
    async with open_desk(chain) as desk:
        cache: FactCache[Any, Any] = FactCache(name="x", max_entries=50, ttl_seconds=60)
        lists = AccessLists(Networks({8996: desk.network}), cache=cache)

        def publishers(*addresses: str) -> Publishers:
            rule = AddressRule(frozenset(map(str.lower, addresses)), (), lists)
            return Publishers(rule, desk.lookup)

        asset = asset_of(published, published.publish_tx)
        await publishers(publisher).check_asset(desk.network, asset)
        await publishers().check_asset(desk.network, asset_of(published, None))
        with pytest.raises(AssetNotFound) as other:
            await publishers(stranger).check_asset(desk.network, asset)
        assert other.value.detail == f"the publisher {publisher} is not authorized"
        with pytest.raises(AssetNotFound) as unknown:
            await publishers(publisher).check_asset(desk.network, asset_of(published, None))
        assert unknown.value.detail == "it is not known who published the document"
        await publishers().check_address(None, 8996)
        await publishers(publisher).check_address(publisher, 8996)
        for sender in (stranger, None):
            with pytest.raises(PublisherNotAuthorized):
                await publishers(publisher).check_address(sender, 8996)


@pytest.mark.gen_test(timeout=20)
async def test_owner_of_a_data_nft_is_whom_the_chain_says(chain: DemoChain, published: Published) -> None:
    async with open_desk(chain) as desk:
        owner = chain.wallet(PUBLISHER_KEY).address
        assert await desk.lookup.nft_owner(desk.network, published.data_nft) == owner
        assert await desk.lookup.nft_owner(desk.network, published.datatokens[0]) is None
        assert await desk.lookup.nft_owner(desk.network, ACCOUNT.address) is None
