"""Whose assets are served: `AUTHORIZED_PUBLISHERS` and access lists on chain, over the chain index and over a store."""

import json
from typing import Any

import pytest

from provider.testing.chain.contracts import contract_at
from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, build_ddo, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.e2e.test_decrypt import clock_nonce
from tests.support.access_list import deploy_access_list
from tests.support.metadata_store import StoringPublisher

DDO = "/api/aquarius/assets/ddo/"
FILES = [url_file("http://127.0.0.1:9/data.csv")]
INDEX = {"AQUARIUS_URL": "", "PROVIDER_INDEX_POLL_SECONDS": "0.1"}
ALWAYS_ASKED = {"PROVIDER_CACHE_STATE_SECONDS": "0"}


def is_served(server: DemoServer, asset: Published) -> bool:
    """On the path of a metadata store, and where consumers ask for a quote."""
    status = request("GET", server.url + DDO + asset.did).status
    asked = f"documentId={asset.did}&serviceId={asset.service()['id']}&consumerAddress=0x{'11' * 20}"
    quote = request("GET", f"{server.url}/api/services/initialize?{asked}")
    if status == 404:
        assert (quote.status, quote.json()) == (400, {"error": "Cannot resolve DID"})
    else:
        assert "Cannot resolve DID" not in str(quote.json())
    return status == 200


def other_publisher(chain: DemoChain, server: DemoServer) -> Publisher:
    return Publisher(chain.wallet(CONSUMER_KEY), chain.contracts, server.url)


@pytest.mark.parametrize("where", ["index", "store"])
def test_only_assets_of_authorized_publishers_are_served(
    launch: LaunchServer, publisher: StoringPublisher, chain: DemoChain, where: str
) -> None:
    listed = json.dumps([publisher.wallet.address.lower()])
    own = launch(AUTHORIZED_PUBLISHERS=listed, **INDEX if where == "index" else {})
    other = other_publisher(chain, own)
    theirs = other.publish(FILES)
    publisher.store.put(theirs, owner=publisher.wallet.address)
    assert is_served(own, publisher.publish(FILES))
    assert not is_served(own, theirs)


def test_an_asset_that_was_given_to_an_authorized_publisher_is_not_served(
    launch: LaunchServer, publisher: StoringPublisher, chain: DemoChain
) -> None:
    own = launch(AUTHORIZED_PUBLISHERS=json.dumps([publisher.wallet.address]), **INDEX)
    other = other_publisher(chain, own)
    asset = other.publish(FILES)
    nft = contract_at(chain.w3, "ERC721Template", asset.data_nft)
    other.wallet.send(nft.functions.transferFrom(other.wallet.address, publisher.wallet.address, 1))
    assert nft.functions.ownerOf(1).call() == publisher.wallet.address
    assert not is_served(own, asset)


def test_an_access_list_decides_and_its_changes_count(
    launch: LaunchServer, publisher: StoringPublisher, chain: DemoChain
) -> None:
    access_list = deploy_access_list(publisher.wallet, publisher.wallet.address)
    lists = {"8996": [access_list.address]}
    own = launch(AUTHORIZED_PUBLISHERS_LIST=json.dumps(lists), **INDEX, **ALWAYS_ASKED)
    other = other_publisher(chain, own)
    ours, theirs = publisher.publish(FILES), other.publish(FILES)
    assert (is_served(own, ours), is_served(own, theirs)) == (True, False)
    access_list.add(other.wallet.address)
    assert (is_served(own, ours), is_served(own, theirs)) == (True, True)
    access_list.remove_first()
    assert not is_served(own, ours)


def test_both_lists_must_admit_and_a_list_of_another_chain_says_nothing(
    launch: LaunchServer, publisher: StoringPublisher
) -> None:
    asset = publisher.publish(FILES)
    elsewhere = json.dumps({"1": ["0x" + "11" * 20]})
    both = launch(
        AUTHORIZED_PUBLISHERS=json.dumps([publisher.wallet.address]),
        AUTHORIZED_PUBLISHERS_LIST=json.dumps({"8996": ["0x" + "11" * 20]}),
    )
    assert not is_served(both, asset)
    assert is_served(launch(AUTHORIZED_PUBLISHERS_LIST=elsewhere), asset)


@pytest.mark.parametrize("tx_id", ["", "0x12", "0x" + "00" * 32, 7])
def test_a_store_that_does_not_name_the_transaction_is_not_enough(
    launch: LaunchServer, publisher: StoringPublisher, tx_id: object
) -> None:
    own = launch(AUTHORIZED_PUBLISHERS=json.dumps([publisher.wallet.address]), PROVIDER_RECEIPT_WAIT_SECONDS="0.1")
    asset = publisher.publish(FILES)
    publisher.store.documents[asset.did]["event"] = {"tx": tx_id, "from": publisher.wallet.address}
    assert not is_served(own, asset)


def test_the_transaction_of_another_asset_proves_nothing(
    launch: LaunchServer, publisher: StoringPublisher, chain: DemoChain
) -> None:
    own = launch(AUTHORIZED_PUBLISHERS=json.dumps([publisher.wallet.address]))
    ours, theirs = publisher.publish(FILES), other_publisher(chain, own).publish(FILES)
    publisher.store.put(theirs, owner=publisher.wallet.address)
    publisher.store.documents[theirs.did]["event"] = {"tx": ours.publish_tx}
    assert not is_served(own, theirs)


# The check of a DDO


def test_the_check_of_a_ddo_is_for_authorized_publishers(
    launch: LaunchServer, publisher: StoringPublisher, consumer: Consumer, stranger: Consumer
) -> None:
    own = launch(AUTHORIZED_PUBLISHERS=json.dumps([consumer.address]))
    data_nft, datatoken = publisher.create_nft()
    service = {"id": "s", "type": "access", "files": "0x04", "datatokenAddress": datatoken, "timeout": 0}
    ddo = build_ddo(data_nft, 8996, [{**service, "serviceEndpoint": own.url}], version="4.7.0")

    def checked(signer: Consumer | None) -> tuple[int, Any]:
        body: dict[str, Any] = {"ddo": ddo}
        if signer is not None:
            nonce = clock_nonce()
            signature = signer.sign(f"{signer.address}{nonce}validateDDO", "")
            body |= {"publisherAddress": signer.address, "nonce": nonce, "signature": signature}
        headers = {"Content-Type": "application/json"}
        reply = request("POST", own.url + DDO + "validate", body=json.dumps(body).encode(), headers=headers)
        return reply.status, reply.json()

    assert checked(consumer)[0] == 200
    assert checked(stranger) == (403, {"error": "Publisher not authorized"})
    assert checked(None) == (403, {"error": "Publisher not authorized"})
