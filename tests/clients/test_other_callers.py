"""Those who are not libraries, in the exact forms of their calls: Aquarius, ocean-node, C2D pods, other Providers.

The asset here was published with a Provider URL that ends in a slash, so that every caller doubles it.
"""

import hashlib
import json
import time
from dataclasses import replace

import pytest

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.http_client import get_json, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from tests.support.client_stage import CONSUMER_KEY, PUBLISHER_KEY, SetStage, Stage
from tests.support.indexer import Family
from tests.support.origin import CSV


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Stage:
    """A Provider with Aquarius behind it."""
    return set_stage("others", "aquarius")


@pytest.fixture(scope="module")
def asset(stage: Stage) -> Published:
    """One access service of one file; its endpoint and its decryptor end in a slash."""
    publisher = Publisher(stage.chain.wallet(PUBLISHER_KEY), stage.chain.contracts, f"{stage.server.url}/")
    published = publisher.publish([url_file(f"{stage.origin.url}/data.csv")])
    publisher.mint(published.datatokens[0], stage.chain.wallet(CONSUMER_KEY).address)
    return published


@pytest.mark.parametrize("family", ["aquarius", "ocean-node"])
def test_an_indexer_decrypts_the_ddo_of_a_transaction(stage: Stage, asset: Published, family: Family) -> None:
    indexer = replace(stage.indexer, family=family, wallet=stage.chain.wallet(SPARE_KEYS[3]))
    reply = indexer.decrypt(f"{stage.server.url}/", asset.data_nft, asset.publish_tx)
    assert (reply.status, reply.body) == (201, asset.document)


def test_a_pod_counts_the_files_over_a_doubled_slash_without_a_redirect(stage: Stage, asset: Published) -> None:
    service = asset.service()
    reply = request(
        "POST",
        f"{service['serviceEndpoint']}//api/services/fileinfo",
        body=json.dumps({"did": asset.did, "serviceId": service["id"]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert (reply.status, len(reply.json())) == (200, 1)


def test_a_pod_downloads_with_the_time_of_its_clock_as_nonce(stage: Stage, asset: Published) -> None:
    buyer = Consumer(stage.chain.wallet(CONSUMER_KEY), stage.server.url)
    order = buyer.order(asset)
    root = get_json(asset.service()["serviceEndpoint"], {})
    method, path = root["serviceEndpoints"]["download"]
    nonce = str(time.time_ns() // 1_000_000)
    query = buyer.download_parameters(asset, order, nonce=nonce)
    reply = request(method, with_query(asset.service()["serviceEndpoint"] + path, query))
    assert (reply.status, hashlib.sha256(reply.body).hexdigest()) == (200, hashlib.sha256(CSV).hexdigest())


def test_another_provider_learns_whose_fee_it_is(stage: Stage, asset: Published) -> None:
    root = get_json(stage.server.url, {})
    parameters = {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "consumerAddress": stage.chain.wallet(CONSUMER_KEY).address,
    }
    quote = get_json(f"{asset.service()['serviceEndpoint']}/api/services/initialize", parameters)
    address = root["providerAddresses"][str(stage.chain.contracts.chain_id)]
    assert quote["providerFee"]["providerFeeAddress"] == address
