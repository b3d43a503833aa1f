"""What only ocean.js 8.6 does: tokens in the header `Authorization`, the status of the node, no signed DDO proof."""

import hashlib

import jwt
import pytest

from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.chain.wallet import Wallet
from tests.support.client_installs import node_is_here
from tests.support.client_stage import CONSUMER_KEY, Driven
from tests.support.origin import CSV

if not node_is_here():
    pytest.skip("Node and npm are not here", allow_module_level=True)


def test_the_status_command_names_the_provider_and_its_chains(ocean_js_8: Driven) -> None:
    status = ocean_js_8.drive.value("getNodeStatus")
    assert status["address"] == Wallet(ocean_js_8.stage.chain.w3, PROVIDER_KEY).address
    assert [str(entry["chainId"]) for entry in status["provider"]] == ["8996"]
    assert status["id"]
    assert status["version"]


def test_a_token_is_a_jwt_of_the_consumers_address(ocean_js_8: Driven) -> None:
    claims = jwt.decode(ocean_js_8.drive.value("generateAuthToken"), options={"verify_signature": False})
    assert claims["address"] == ocean_js_8.stage.chain.wallet(CONSUMER_KEY).address


def test_a_token_in_the_header_stands_for_the_signature_of_a_download(ocean_js_8: Driven) -> None:
    download = ocean_js_8.drive.value("tokenDownload")
    assert (download["status"], download["sha256"]) == (200, hashlib.sha256(CSV).hexdigest())


def test_the_download_url_made_with_a_token_is_worth_nothing_without_it(ocean_js_8: Driven) -> None:
    refused = ocean_js_8.drive.value("tokenMissing")
    assert refused["status"] == 400
    assert refused["json"]["message"] == "Validation error"


def test_encrypting_needs_neither_signature_nor_token(ocean_js_8: Driven) -> None:
    assert ocean_js_8.drive.value("tokenEncrypt").startswith("0x")


def test_a_token_that_its_owner_invalidated_is_refused(ocean_js_8: Driven) -> None:
    assert ocean_js_8.drive.value("invalidateAuthToken") == {"success": True}
    refused = ocean_js_8.drive.value("tokenRevoked")
    assert refused["status"] == 400
    assert list(refused["json"]["errors"]) == ["signature"]
