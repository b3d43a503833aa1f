"""Which published algorithm may run, where the rule is not that of a DDO 4.x in a metadata store (section 10.3)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from provider.testing.chain.keys import PUBLISHER_KEY
from provider.testing.http_client import Reply
from provider.testing.market.compute import publish_algorithm, publish_dataset
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher
from tests.e2e.conftest import LaunchServer
from tests.support.compute import FREE, ComputeClient
from tests.support.origin import Origin, wait_until
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

OWNER_OF = "0x6352211e"
STRANGER = "0x" + "12" * 20


# DDO 5


def as_ddo_5(c2d: ComputeClient, asset: Published) -> Published:
    """The same asset, as the metadata store of an ocean-node shows a DDO 5."""
    ddo = c2d.document(asset)
    subject = {key: ddo[key] for key in ("metadata", "services", "chainId", "nftAddress")}
    five = replace(asset, did=asset.did.replace("did:op:", "did:ope:"))
    c2d.publisher.store.documents[five.did] = {
        "id": five.did,
        "version": "5.0.0",
        "credentialSubject": subject,
        "indexedMetadata": {"nft": ddo["nft"]},
    }
    return five


def test_ddo_5_without_lists_lets_no_algorithm_run(c2d: ComputeClient, origin: Origin) -> None:
    """A DDO 4.x would allow the algorithm. The dataset is paid for, so that nothing else stops the job."""
    algorithm = c2d.algorithm(f"{origin.url}/data.csv")
    empty = {"publisherTrustedAlgorithms": [], "publisherTrustedAlgorithmPublishers": []}
    four = c2d.dataset(f"{origin.url}/data.csv", compute={"allowRawAlgorithm": False, **empty})
    dataset_tx, algorithm_tx = c2d.buy([four], algorithm, environment=FREE)
    five, before = as_ddo_5(c2d, four), c2d.operator.starts()
    error = {"error": {"dataset": "not_trusted_algo"}}
    quote = c2d.quote([c2d.item(five)], c2d.item(algorithm), environment=FREE)
    assert (quote.status, quote.json()) == (400, error)
    start = c2d.start(c2d.item(five, dataset_tx), c2d.item(algorithm, algorithm_tx), environment=FREE)
    assert (start.status, start.json()) == (400, error)
    assert c2d.operator.starts() == before


def test_ddo_5_lets_the_data_nfts_run_that_it_lists(c2d: ComputeClient, origin: Origin) -> None:
    algorithm, other = c2d.algorithm(f"{origin.url}/data.csv"), c2d.algorithm(f"{origin.url}/data.csv")
    listed = {"publisherTrustedAlgorithmPublishers": [algorithm.data_nft.lower()]}
    five = as_ddo_5(c2d, c2d.dataset(f"{origin.url}/data.csv", compute=listed))
    dataset_tx, algorithm_tx = c2d.buy([five], algorithm, environment=FREE)
    start = c2d.start(c2d.item(five, dataset_tx), c2d.item(algorithm, algorithm_tx), environment=FREE)
    assert start.status == 200, start.body
    quote = c2d.quote([c2d.item(five)], c2d.item(other), environment=FREE)
    assert (quote.status, quote.json()) == (400, {"error": {"dataset": "not_trusted_algo_publisher"}})


# Without a metadata store


@dataclass
class Storeless:
    """A server that has its metadata from the chain, over a node that can be made to fail, and an algorithm there."""

    client: ComputeClient
    node: RpcProxy
    publisher: Publisher
    algorithm: Published
    url: str

    def trusting(self, *publishers: str) -> Published:
        """A dataset for algorithms of these publishers, once the server knows it."""
        lists = {"publisherTrustedAlgorithmPublishers": list(publishers)}
        dataset = publish_dataset(self.publisher, self.url, name="Data", compute=lists)
        wait_until(lambda: b"did_not_found" not in self.quote(dataset).body, every_seconds=0.1)
        return dataset

    def quote(self, dataset: Published) -> Reply:
        return self.client.quote([self.client.item(dataset)], self.client.item(self.algorithm), environment=FREE)


@pytest.fixture
def storeless(c2d: ComputeClient, launch: LaunchServer, origin: Origin) -> Iterator[Storeless]:
    with running_rpc_proxy(c2d.chain.url) as node:
        server = launch(
            AQUARIUS_URL="",
            NETWORK_URL=node.url,
            OPERATOR_SERVICE_URL=c2d.operator.url,
            PROVIDER_INDEX_POLL_SECONDS="0.2",
        )
        publisher = Publisher(c2d.chain.wallet(PUBLISHER_KEY), c2d.chain.contracts, server.url)
        client = replace(c2d, server=server, consumer=Consumer(c2d.consumer.wallet, server.url))
        url = f"{origin.url}/data.csv"
        yield Storeless(client, node, publisher, publish_algorithm(publisher, url, name="Program"), url)


def test_without_a_metadata_store_the_chain_tells_the_publisher(storeless: Storeless) -> None:
    by_owner = storeless.trusting(storeless.publisher.wallet.address.lower())
    by_stranger = storeless.trusting(STRANGER)
    assert storeless.quote(by_owner).status == 200
    refused = storeless.quote(by_stranger)
    assert (refused.status, refused.json()) == (400, {"error": {"dataset": "not_trusted_algo_publisher"}})


def test_publisher_whom_the_chain_cannot_tell_is_a_503_and_asked_for_again(storeless: Storeless) -> None:
    w3 = storeless.client.chain.w3

    def answer(params: list[Any]) -> str:
        asks_for_owner = params[0]["data"].startswith(OWNER_OF)
        return "nonsense" if asks_for_owner else "0x" + bytes(w3.eth.call(params[0], params[1])).hex()

    storeless.node.answers["eth_call"] = answer
    by_owner = storeless.trusting(storeless.publisher.wallet.address)
    assert storeless.quote(by_owner).status == 503
    storeless.node.answers.clear()
    assert storeless.quote(by_owner).status == 200
