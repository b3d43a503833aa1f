"""What ocean.js 3.4 and 8.6, both unmodified, find alike. Each test judges steps of one run of their `drive.mjs`."""

import hashlib
import json

import pytest

from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.chain.wallet import Wallet
from tests.support.client_installs import node_is_here
from tests.support.client_stage import Driven
from tests.support.origin import CSV, pattern, pattern_sha256

if not node_is_here():
    pytest.skip("Node and npm are not here", allow_module_level=True)

CSV_SHA256 = hashlib.sha256(CSV).hexdigest()
LARGE_BYTES = 300_000
CSV_INFO = {
    "index": 0,
    "type": "url",
    "valid": True,
    "contentLength": str(len(CSV)),
    "contentType": "text/csv",
    "filename": "data.csv",
    "checksum": CSV_SHA256,
    "checksumType": "sha256",
}


@pytest.fixture(params=["ocean_js_3", "ocean_js_8"])
def driven(request: pytest.FixtureRequest) -> Driven:
    """The run of each of the two."""
    run: Driven = request.getfixturevalue(request.param)
    return run


def test_the_driver_comes_to_its_end(driven: Driven) -> None:
    assert driven.drive.steps, driven.drive.stderr
    assert driven.drive.value("end") == "reached"


def test_a_provider_is_recognised_and_nothing_else(driven: Driven) -> None:
    assert driven.drive.value("isValidProvider") is True
    assert driven.drive.value("isValidProviderElsewhere") is False


def test_an_unknown_address_has_a_nonce_that_is_truthy(driven: Driven) -> None:
    assert driven.drive.value("getNonce") == 1


def test_a_file_object_is_described_with_its_checksum(driven: Driven) -> None:
    assert driven.drive.value("getFileInfo") == [CSV_INFO]


def test_a_file_that_is_not_there_is_told_as_not_valid(driven: Driven) -> None:
    assert driven.drive.value("getFileInfoUnreachable") == [{"index": 0, "type": "url", "valid": False}]


def test_a_refused_file_object_reaches_the_caller_as_json(driven: Driven) -> None:
    assert json.loads(driven.drive.error("getFileInfoRefused")) == {"error": "Unsafe method DELETE."}


def test_what_is_encrypted_is_hex_and_does_not_show_the_clear_text(driven: Driven) -> None:
    encrypted = bytes.fromhex(driven.drive.value("encrypt").removeprefix("0x"))
    assert len(encrypted) > 97
    assert b"hello" not in encrypted


def test_the_published_ddo_is_decrypted_for_the_indexer(driven: Driven) -> None:
    [reply] = driven.stage.indexer.replies
    asset = driven.drive.value("waitForIndexer")
    assert reply.status == 201
    assert json.loads(reply.body)["services"][0]["files"] == asset["services"][0]["files"]
    assert asset["id"] in driven.stage.store.documents


def test_the_files_of_an_asset_are_described(driven: Driven) -> None:
    small, large = driven.drive.value("checkDidFiles")
    assert small == CSV_INFO
    assert (large["index"], large["valid"], large["contentLength"]) == (1, True, str(LARGE_BYTES))
    assert large["checksum"] == pattern_sha256(LARGE_BYTES)


def test_the_quote_is_signed_by_the_provider_for_the_service_of_the_asset(driven: Driven) -> None:
    quote, asset = driven.drive.value("initialize"), driven.drive.value("waitForIndexer")
    fee = quote["providerFee"]
    assert quote["datatoken"] == asset["services"][0]["datatokenAddress"]
    assert fee["providerFeeAddress"] == Wallet(driven.stage.chain.w3, PROVIDER_KEY).address
    assert (fee["providerFeeAmount"], fee["validUntil"]) == ("0", 0)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("initializeUnknown", "Cannot resolve DID"),
        ("checkDidFilesUnknown", "Cannot resolve DID"),
        ("initializeNoSuchFile", "Provider Ganache: No such fileIndex 7"),
    ],
)
def test_a_refusal_reaches_the_caller_as_json(driven: Driven, step: str, text: str) -> None:
    assert json.loads(driven.drive.error(step)) == {"error": text}


def test_a_bought_file_is_saved_under_its_name(driven: Driven) -> None:
    assert driven.drive.value("downloadFile") == {"filename": "data.csv", "sha256": CSV_SHA256}


def test_a_download_url_is_good_for_plain_fetch(driven: Driven) -> None:
    fetched = driven.drive.value("fetchDownloadUrl")
    assert (fetched["status"], fetched["sha256"]) == (200, pattern_sha256(LARGE_BYTES))
    assert fetched["headers"]["content-length"] == str(LARGE_BYTES)
    assert fetched["headers"]["content-disposition"] == f"attachment;filename={LARGE_BYTES}"
    assert "Content-Disposition" in fetched["headers"]["access-control-expose-headers"]


def test_a_download_url_is_good_once(driven: Driven) -> None:
    again = driven.drive.value("fetchUsedUrl")
    assert again["status"] == 400
    assert again["json"]["errors"]["signature"].startswith("Invalid signature expected nonce")
    assert driven.drive.error("downloadFileUsedUrl") == "Response error."


def test_a_range_is_answered_with_that_part(driven: Driven) -> None:
    part = driven.drive.value("fetchRange")
    assert (part["status"], part["headers"]["content-range"]) == (206, f"bytes 1000-1999/{LARGE_BYTES}")
    assert part["sha256"] == hashlib.sha256(pattern(2000)[1000:]).hexdigest()


def test_an_origin_without_ranges_answers_with_the_whole_file(driven: Driven) -> None:
    whole = driven.drive.value("fetchRangeIgnored")
    assert (whole["status"], whole["sha256"]) == (200, CSV_SHA256)
    assert "content-range" not in whole["headers"]


def test_userdata_reaches_the_origin_of_the_asset(driven: Driven) -> None:
    assert driven.drive.value("fetchUserdata")["status"] == 200
    colour = f"blau grün {driven.stage.folder.name[len('ocean-js-')]}"
    assert any(seen.query == {"colour": [colour]} for seen in driven.stage.origin.requests("/data.csv"))


def test_a_provider_url_that_ends_in_a_slash_serves_the_same(driven: Driven) -> None:
    assert driven.drive.value("slashNonce") > 1
    assert driven.drive.value("slashInitialize")["datatoken"] == driven.drive.value("initialize")["datatoken"]
    assert driven.drive.value("slashDownload")["sha256"] == CSV_SHA256
    assert driven.drive.value("doubleSlashDownload")["sha256"] == CSV_SHA256


def test_a_reused_order_is_good_for_a_download(driven: Driven) -> None:
    assert driven.drive.value("reuseOrder") != driven.drive.value("orderAsset")
    reused = driven.drive.value("downloadReused")
    assert (reused["status"], reused["sha256"]) == (200, CSV_SHA256)


def test_somebody_elses_order_is_refused_with_a_reason(driven: Driven) -> None:
    unpaid = driven.drive.value("downloadUnpaid")
    assert unpaid["status"] == 400
    assert unpaid["json"]["error"].endswith("sender of order transaction is not the consumer/payer.")
