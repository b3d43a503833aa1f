"""Orders whose provider fee an ocean-node with our key quoted: its providerData is `{"dt","id"}` and nothing else."""

import json

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import PROVIDER_KEY, STRANGER_KEY
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain
from tests.e2e.conftest import Sell
from tests.support.downloads import ask
from tests.support.metadata_store import StoringPublisher
from tests.support.origin import CSV, Origin


def node_fee(chain: DemoChain, asset: Published, *, key: str = PROVIDER_KEY, **changes: object) -> dict[str, object]:
    """A fee as `createFee` of ocean-node signs it, by an independent library."""
    account, token = EthAccount.from_key(key), chain.contracts.ocean
    fields = {"dt": asset.datatokens[0], "id": asset.service(0)["id"], **changes}
    data = json.dumps(fields, separators=(",", ":")).encode()
    packed = data + bytes.fromhex(account.address[2:] + token[2:]) + bytes(32) + bytes(32)
    signature = account.sign_message(encode_defunct(primitive=keccak(packed)))
    return {
        "providerFeeAddress": account.address,
        "providerFeeToken": token,
        "providerFeeAmount": "0",
        "providerData": "0x" + data.hex(),
        "v": signature.v,
        "r": f"0x{signature.r:064x}",
        "s": f"0x{signature.s:064x}",
        "validUntil": 0,
    }


@pytest.fixture(scope="module")
def asset(sell: Sell, origin: Origin) -> Published:
    return sell(url_file(f"{origin.url}/data.csv"))[0]


def order(publisher: StoringPublisher, consumer: Consumer, asset: Published, fee: dict[str, object]) -> str:
    publisher.mint(asset.datatokens[0], consumer.address)
    return consumer.order(asset, fee=fee)


def test_order_with_the_fee_of_an_ocean_node_with_our_key_is_served(
    chain: DemoChain, publisher: StoringPublisher, consumer: Consumer, asset: Published
) -> None:
    tx = order(publisher, consumer, asset, node_fee(chain, asset))
    reply = ask(consumer, asset, tx)
    assert (reply.status, reply.body) == (200, CSV)
    assert consumer.initialize(asset, transferTxId=tx) == {"validOrder": tx}


def test_fee_of_an_ocean_node_with_another_key_or_for_another_service_is_refused(
    chain: DemoChain, publisher: StoringPublisher, consumer: Consumer, asset: Published
) -> None:
    for fee, text in (
        (node_fee(chain, asset, key=STRANGER_KEY), "does not match the provider address"),
        (node_fee(chain, asset, id="another"), "Cannot find the event for the provider fee"),
    ):
        reply = ask(consumer, asset, order(publisher, consumer, asset, fee))
        assert reply.status == 400
        assert text in reply.json()["error"]
