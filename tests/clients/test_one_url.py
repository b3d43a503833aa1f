"""ocean.js 8.6, unmodified, with one URL for everything: no metadata store runs. Each test judges steps of one run."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.chain.wallet import Wallet
from provider.testing.child import Children
from provider.testing.stage import DemoChain, launch_server
from tests.support.client_installs import Drive, drive_node, node_is_here
from tests.support.client_stage import PUBLISHER_KEY, describe
from tests.support.origin import CSV, Origin

if not node_is_here():
    pytest.skip("Node and npm are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def drive(
    installs: Mapping[str, Future[Path]],
    children: Children,
    chain: DemoChain,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Drive:
    """The run of the driver."""
    installed = installs["ocean-js-8"].result()
    folder = tmp_path_factory.mktemp("one-url")
    settings = {"PROVIDER_INDEX_POLL_SECONDS": "0.2", "PROVIDER_RECEIPT_WAIT_SECONDS": "0.6"}
    server = launch_server(children, chain, folder, settings, name="one-url")
    server.wait_ready()
    return drive_node("ocean-js-8", installed, folder, describe(folder, chain, server, origin), script="one-url.mjs")


@pytest.fixture
def asset(drive: Drive) -> dict[str, Any]:
    """The DDO as it was first seen."""
    value: dict[str, Any] = drive.value("waitForIndexer")
    return value


def test_the_driver_comes_to_its_end(drive: Drive) -> None:
    assert drive.value("end") == "reached"


def test_a_created_asset_is_indexed_by_the_provider(drive: Drive, asset: dict[str, Any], chain: DemoChain) -> None:
    assert asset["id"] == drive.value("createAsset")
    assert asset["metadata"]["name"] == "one url"
    assert asset["indexedMetadata"]["nft"]["owner"] == chain.wallet(PUBLISHER_KEY).address
    assert asset["datatokens"][0]["address"] == asset["services"][0]["datatokenAddress"]


def test_a_did_resolves_on_both_paths(drive: Drive, asset: dict[str, Any]) -> None:
    assert drive.value("resolve") == asset == drive.value("getAssetMetadata")
    assert drive.error("resolveUnknown")


def test_there_is_no_search(drive: Drive) -> None:
    assert "404" in drive.error("querySearch")


def test_an_edit_is_seen_with_its_transaction(drive: Drive, asset: dict[str, Any]) -> None:
    edited = drive.value("waitForEdit")
    assert edited["metadata"]["description"] == "Another description of it" != asset["metadata"]["description"]
    assert edited["indexedMetadata"]["event"]["txid"] == drive.value("edit")


def test_the_proof_of_the_check_is_taken_by_the_contract(drive: Drive, chain: DemoChain) -> None:
    receipt = chain.w3.eth.get_transaction_receipt(drive.value("edit"))
    validator = Wallet(chain.w3, PROVIDER_KEY).address[2:].lower()
    topics = {topic.hex() for log in receipt["logs"] for topic in log["topics"]}
    assert any(topic.endswith(validator) for topic in topics)


def test_a_faulty_ddo_is_refused_by_the_check(drive: Drive) -> None:
    assert drive.value("validateFaulty") == "refused"


def test_an_asset_that_is_published_in_the_clear_is_indexed_too(drive: Drive) -> None:
    assert drive.value("waitForClearAsset")["id"] == drive.value("createClearAsset")


def test_an_algorithm_is_allowed_by_its_checksums(drive: Drive) -> None:
    (trusted,) = drive.value("waitForAllowed")["services"][0]["compute"]["publisherTrustedAlgorithms"]
    assert trusted["did"] == drive.value("createAlgorithm")
    assert trusted["filesChecksum"] == hashlib.sha256(CSV).hexdigest()


def test_an_ordered_file_is_downloaded(drive: Drive) -> None:
    assert drive.value("downloadFile") == {"filename": "data.csv", "sha256": hashlib.sha256(CSV).hexdigest()}


def test_without_an_operator_service_compute_is_refused(drive: Drive) -> None:
    assert drive.error("getComputeEnvironments")


def test_a_revoked_asset_keeps_its_short_form(drive: Drive, asset: dict[str, Any]) -> None:
    revoked = drive.value("revoke")
    assert (revoked["id"], revoked["version"]) == (asset["id"], "deprecated")
    assert revoked["indexedMetadata"]["nft"]["state"] == 3
    assert drive.error("initializeRevoked")
