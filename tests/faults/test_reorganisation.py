"""Blocks that disappear again: what they said is no longer believed, within the lifetime of an unsettled fact."""

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.metadata_store import StoringPublisher
from tests.support.origin import Origin, wait_until


def test_an_order_that_a_reorganisation_took_away_is_served_no_longer(
    launch: LaunchServer,
    chain: DemoChain,
    publisher: StoringPublisher,
    consumer: Consumer,
    origin: Origin,
) -> None:
    own = launch(PROVIDER_CACHE_RECEIPT_SECONDS="0.5", PROVIDER_RECEIPT_WAIT_SECONDS="0")
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], consumer.address)
    before = chain.rpc("evm_snapshot")
    order_tx = consumer.order(asset)
    assert buyer.download(asset, order_tx).status == 200
    chain.rpc("evm_revert", before)
    wait_until(lambda: buyer.download(asset, order_tx).status == 400)
    refused = buyer.download(asset, order_tx)
    assert b"could not be validated" in refused.error_body
    # The same order, mined anew, counts again.
    assert buyer.download(asset, consumer.order(asset)).status == 200


def test_a_final_receipt_needs_no_node(launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin) -> None:
    """Deeper than `PROVIDER_FINALITY_BLOCKS` a receipt is kept for its whole lifetime."""
    own = launch(PROVIDER_FINALITY_BLOCKS='{"8996": 3}', PROVIDER_CACHE_STATE_SECONDS="3600")
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    sold = sell(url_file(f"{origin.url}/data.csv"))
    for _ in range(4):
        chain.rpc("evm_mine")
    assert buyer.download(*sold).status == 200
    calls = 'provider_rpc_seconds_count{chain="8996"'

    def asked() -> float:
        text = request("GET", f"{own.admin_url}/metrics").body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(calls))

    before = asked()
    assert buyer.download(*sold).status == 200
    assert asked() == before
