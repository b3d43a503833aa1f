"""ocean.py 3.1 against the server. Each test judges steps of one run of `ocean-py/drive.py`.

Unmodified but for its run-time type checker, which no longer works with Python 3.11 and is switched off.
"""

import hashlib
import json

import pytest

from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.chain.wallet import Wallet
from tests.support.client_installs import python_for_ocean_py
from tests.support.client_stage import Driven
from tests.support.origin import CSV

if python_for_ocean_py() is None:
    pytest.skip("ocean.py's own pins have wheels for Python 3.11 only, which is not here", allow_module_level=True)

CSV_SHA256 = hashlib.sha256(CSV).hexdigest()


def test_the_driver_comes_to_its_end(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("end") == "reached"


def test_a_provider_is_recognised_and_nothing_else(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("is_valid_provider") is True
    assert ocean_py.drive.value("is_valid_provider_elsewhere") is False


def test_the_address_of_the_provider_is_found(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("get_provider_address") == Wallet(ocean_py.stage.chain.w3, PROVIDER_KEY).address


def test_encrypt_answers_with_the_status_that_it_insists_on(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("encrypt").startswith("0x04")


def test_the_compressed_ddo_is_decrypted_for_the_indexer(ocean_py: Driven) -> None:
    [reply] = ocean_py.stage.indexer.replies
    assert reply.status == 201
    assert json.loads(reply.body)["id"] == ocean_py.drive.value("create_url_asset")
    assert ocean_py.drive.value("resolve")["id"] == ocean_py.drive.value("create_url_asset")


def test_files_are_described(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("check_single_file_info") is True
    assert ocean_py.drive.value("check_asset_file_info") is True
    [info] = ocean_py.drive.value("fileinfo")
    assert (info["valid"], info["checksum"]) == (True, CSV_SHA256)


def test_the_quote_goes_into_the_contract_as_it_is(ocean_py: Driven) -> None:
    fee = ocean_py.drive.value("initialize")["providerFee"]
    assert fee["providerFeeAmount"] == "0"
    assert fee["providerFeeToken"] == ocean_py.stage.chain.contracts.ocean
    assert ocean_py.drive.value("initialize_userdata")["datatoken"] == ocean_py.drive.value("initialize")["datatoken"]
    assert ocean_py.drive.value("pay_for_access_service").startswith("0x")


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("initialize_unknown", "initializeEndpoint failed: Cannot resolve DID"),
        ("fileinfo_unknown", "fileInfoEndpoint failed: Cannot resolve DID"),
        ("download_asset_unpaid", "was not found, it may not be confirmed yet."),
    ],
)
def test_a_refusal_reaches_the_caller_with_its_reason(ocean_py: Driven, step: str, text: str) -> None:
    assert text in ocean_py.drive.error(step)


def test_every_file_of_an_order_is_saved(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("download_asset") == {"file0": CSV_SHA256}


def test_userdata_reaches_the_origin(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("download_asset_userdata") == {"file0": CSV_SHA256}
    assert any(seen.query == {"colour": ["blau grün py"]} for seen in ocean_py.stage.origin.requests("/data.csv"))


def test_a_reused_order_is_good_for_a_download(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("reuse_order") != ocean_py.drive.value("pay_for_access_service")
    assert ocean_py.drive.value("download_asset_reused") == {"file0": CSV_SHA256}


def test_a_service_endpoint_that_ends_in_a_slash_serves_the_same(ocean_py: Driven) -> None:
    assert ocean_py.drive.value("slash_initialize")["datatoken"] == ocean_py.drive.value("initialize")["datatoken"]
    assert ocean_py.drive.value("slash_download") == {"file0": CSV_SHA256}
