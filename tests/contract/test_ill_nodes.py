"""Real illnesses of nodes, in front of the real chain: one endpoint is ill, the other one is well."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from provider.cache import FactCache
from provider.chain.config import RpcConfig
from provider.chain.networks import Network
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.orders.lookup import OrderLookup
from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher
from provider.testing.stage import DemoChain
from tests.support.illnesses import BATCH_REFUSALS, ILLNESSES, refusing_batches
from tests.support.rpc_nodes import is_available
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:web3")


@pytest.fixture(scope="module")
def proxy(chain: DemoChain) -> Iterator[RpcProxy]:
    with running_rpc_proxy(chain.url) as running:
        yield running


@pytest.fixture(scope="module")
def order(offline_publisher: Publisher, consumer: Consumer, published: Published, signed_fee) -> str:
    offline_publisher.mint(published.datatokens[0], consumer.address)
    return consumer.order(published, fee=signed_fee(published.datatokens[0], published.service()["id"]))


@asynccontextmanager
async def desk(chain: DemoChain, urls: list[str]) -> AsyncIterator[tuple[OrderLookup, Network]]:
    """Cold caches and endpoints of which nothing is known."""
    network = Network(
        chain_id=chain.contracts.chain_id,
        name="Ganache",
        rpc=Rpc(urls, RpcConfig(), chain_id=chain.contracts.chain_id),
        factory=chain.contracts.factory,
        fee_token=chain.contracts.ocean,
        account=Account.from_hex(PROVIDER_KEY),
    )
    states, datatokens, receipts, factory_nfts, owners = (
        FactCache(name="x", max_entries=50, ttl_seconds=60) for _ in range(5)
    )
    lookup = OrderLookup(
        states=states, datatokens=datatokens, receipts=receipts, factory_nfts=factory_nfts, owners=owners
    )
    try:
        yield lookup, network
    finally:
        await network.rpc.close()


@pytest.mark.parametrize("ill_first", [True, False], ids=["ill, well", "well, ill"])
@pytest.mark.parametrize("illness", ILLNESSES)
@pytest.mark.gen_test(timeout=60)
async def test_with_one_well_endpoint_every_illness_is_served(
    chain: DemoChain, proxy: RpcProxy, published: Published, order: str, illness: str, ill_first: bool
) -> None:
    proxy.manner = ILLNESSES[illness](chain.url)
    urls = [proxy.url, chain.url] if ill_first else [chain.url, proxy.url]
    nft, datatoken = published.data_nft, published.datatokens[0]
    async with desk(chain, urls) as (lookup, network):  # a download
        state, facts = await lookup.facts(network, data_nft=nft, datatoken=datatoken, tx_id=order)
        assert (state, facts.datatoken_deployed) == (0, True)
        assert facts.receipt is not None
        assert facts.receipt.tx_id == order
    async with desk(chain, urls) as (lookup, network):  # initialize and decrypt
        assert await lookup.is_factory_nft(network, nft)
        assert await lookup.nft_state(network, nft) == 0
        assert await lookup.nft_owner(network, nft) == chain.wallet(PUBLISHER_KEY).address
        assert (await lookup.receipt(network, order)) is not None


@pytest.mark.parametrize("above", [1, 3])
@pytest.mark.parametrize("refusal", BATCH_REFUSALS)
@pytest.mark.gen_test(timeout=60)
async def test_the_only_endpoint_may_refuse_batches_in_any_way(
    chain: DemoChain, proxy: RpcProxy, published: Published, order: str, refusal: str, above: int
) -> None:
    proxy.manner = refusing_batches(refusal, above=above)
    nft, datatoken = published.data_nft, published.datatokens[0]
    async with desk(chain, [proxy.url]) as (lookup, network):
        state, facts = await lookup.facts(network, data_nft=nft, datatoken=datatoken, tx_id=order)
        assert (state, facts.datatoken_deployed, facts.receipt is not None) == (0, True, True)
        assert is_available(network.rpc)
