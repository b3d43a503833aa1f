"""The validation layer, rule by rule (`provider-api.md` section 2)."""

from collections.abc import Mapping

import pytest

from provider.errors import ValidationFailed
from provider.handlers import rules
from provider.handlers.params import (
    DecryptRequest,
    DownloadRequest,
    FileInfoRequest,
    InitializeRequest,
    NonceRequest,
)
from provider.handlers.rules import Field, validate

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
SIGNATURE_LIST = ["Invalid signature provided. Please check the nonce or documentId."]
DOWNLOAD = {
    "documentId": "did:op:1",
    "serviceId": "s",
    "consumerAddress": ADDRESS,
    "transferTxId": "0x1",
    "fileIndex": "0",
    "nonce": "1",
    "signature": "0xabc",
}


def errors_of(parse: object, data: Mapping[str, object]) -> Mapping[str, object]:
    with pytest.raises(ValidationFailed) as caught:
        parse(data)
    return caught.value.errors


@pytest.mark.parametrize(
    ("field", "data", "message"),
    [
        pytest.param(Field("f", (rules.required(),)), {}, "The f field is required.", id="required absent"),
        pytest.param(Field("f", (rules.required(),)), {"f": None}, "The f field is required.", id="required null"),
        pytest.param(Field("f", (rules.required(),)), {"f": ""}, "The f field is required.", id="required empty text"),
        pytest.param(Field("f", (rules.required(),)), {"f": []}, "The f field is required.", id="required empty list"),
        pytest.param(
            Field("f", (rules.required(),)), {"f": {}}, "The f field is required.", id="required empty object"
        ),
        pytest.param(Field("f", (rules.required(),)), {"f": 0}, None, id="zero is a value"),
        pytest.param(Field("f", (rules.required(),)), {"f": False}, None, id="false is a value"),
        pytest.param(
            Field("f", (rules.required_without("a", "b"),)),
            {"a": 1},
            "The f field is required when a, b is not present.",
            id="required_without, one absent",
        ),
        pytest.param(Field("f", (rules.required_without("a", "b"),)), {"a": 1, "b": None}, None, id="both present"),
        pytest.param(
            Field("f", (rules.required_with("a", "b"),)),
            {"b": 1},
            "The f field is required when a, b is present.",
            id="required_with",
        ),
        pytest.param(
            Field("f", (rules.required_if("type", "url"),)),
            {"type": "url"},
            "The f field is required when type is url.",
            id="required_if",
        ),
        pytest.param(Field("f", (rules.required_if("type", "url"),)), {"type": "ipfs"}, None, id="required_if other"),
        pytest.param(Field("f", (rules.integer(),)), {"f": "-1"}, "The f must be an integer.", id="negative"),
        pytest.param(Field("f", (rules.integer(),)), {"f": 1.0}, "The f must be an integer.", id="float"),
        pytest.param(Field("f", (rules.integer(),)), {"f": True}, "The f must be an integer.", id="boolean"),
        pytest.param(Field("f", (rules.integer(),)), {"f": "٣"}, "The f must be an integer.", id="foreign digit"),
        pytest.param(Field("f", (rules.integer(),)), {"f": "12"}, None, id="digits"),
        pytest.param(Field("f", (rules.numeric(),)), {"f": "nan"}, "The f must be a number.", id="nan"),
        pytest.param(Field("f", (rules.numeric(),)), {"f": "inf"}, "The f must be a number.", id="infinite"),
        pytest.param(Field("f", (rules.numeric(),)), {"f": "1" * 101}, "The f must be a number.", id="too long"),
        pytest.param(Field("f", (rules.numeric(),)), {"f": [1]}, "The f must be a number.", id="list"),
        pytest.param(Field("f", (rules.numeric(),)), {"f": "1644315615.24195"}, None, id="timestamp"),
        pytest.param(Field("f", (rules.one_of("a"),)), {"f": "b"}, "The selected f is invalid.", id="one of"),
        pytest.param(Field("f", (rules.starts_with("did:op"),)), {"f": 7}, "The f format is invalid.", id="prefix"),
        pytest.param(Field("a.b", (rules.required(),)), {"a": "text"}, "The a.b field is required.", id="not nested"),
        pytest.param(Field("a.b", (rules.required(),)), {"a": {"b": 1}}, None, id="nested"),
        pytest.param(Field("f", (rules.integer(),), optional=True), {}, None, id="sometimes, absent"),
    ],
)
def test_rule_gives_its_documented_message(field: Field, data: Mapping[str, object], message: str | None) -> None:
    if message is None:
        validate([field], data)
        return
    with pytest.raises(ValidationFailed) as caught:
        validate([field], data)
    assert caught.value.errors == {field.name: [message]}


def test_bail_ends_the_validation_and_later_fields_are_not_looked_at() -> None:
    assert errors_of(DownloadRequest.parse, {}) == {"documentId": ["The documentId field is required."]}


def test_fields_without_bail_are_collected() -> None:
    assert errors_of(InitializeRequest.parse, {}) == {
        "documentId": ["The documentId field is required."],
        "serviceId": ["The serviceId field is required."],
        "consumerAddress": ["The consumerAddress field is required."],
    }


def test_bail_keeps_what_was_collected_before() -> None:
    data = {key: value for key, value in DOWNLOAD.items() if key not in {"serviceId", "nonce"}}
    assert errors_of(DownloadRequest.parse, data) == {
        "serviceId": ["The serviceId field is required."],
        "nonce": ["The nonce field is required."],
    }


def test_absent_signature_is_a_list() -> None:
    data = {key: value for key, value in DOWNLOAD.items() if key != "signature"}
    assert errors_of(DownloadRequest.parse, data) == {"signature": SIGNATURE_LIST}


def test_empty_fileinfo_gives_the_three_required_errors() -> None:
    assert errors_of(FileInfoRequest.parse, {}) == {
        "type": ["The type field is required when did is not present."],
        "did": ["The did field is required when type is not present."],
        "serviceId": ["The serviceId field is required when type is not present."],
    }


def test_fileinfo_of_unknown_type_is_refused() -> None:
    assert errors_of(FileInfoRequest.parse, {"type": "sftp"}) == {"type": ["The selected type is invalid."]}


def test_decrypt_wants_a_transaction_or_a_document() -> None:
    data = {"decrypterAddress": ADDRESS, "chainId": 1, "dataNftAddress": ADDRESS, "nonce": "1", "signature": "0x"}
    assert set(errors_of(DecryptRequest.parse, data)) == {
        "transactionId",
        "encryptedDocument",
        "flags",
        "documentHash",
    }


@pytest.mark.parametrize("address", ["0x12", "not an address", 12, ["0x"], "0x" + "g" * 40, ADDRESS + "0"])
def test_malformed_address_is_refused(address: object) -> None:
    assert "userAddress" in errors_of(NonceRequest.parse, {"userAddress": address})


def test_address_is_checksummed_once_on_entry_and_kept_as_sent_for_the_message() -> None:
    request = DownloadRequest.parse({**DOWNLOAD, "consumerAddress": ADDRESS.lower()})
    assert request.signed.address == ADDRESS
    assert request.signed.claimed == ADDRESS.lower()


@pytest.mark.parametrize("name", ["documentId", "serviceId", "transferTxId", "fileIndex", "signature"])
def test_object_where_text_belongs_is_refused_by_name(name: str) -> None:
    assert name in errors_of(DownloadRequest.parse, {**DOWNLOAD, name: {"a": 1}})


def test_numbers_are_taken_in_both_forms() -> None:
    request = DownloadRequest.parse({**DOWNLOAD, "serviceId": 0, "fileIndex": 1, "nonce": 10**40 + 1})
    assert (request.service_id, request.file_index, request.signed.nonce) == ("0", "1", str(10**40 + 1))
