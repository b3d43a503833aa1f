"""Tokens in requests: which header counts, what may be left out then, and the requests that create or end one."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders

from provider.auth.token import PresentedToken
from provider.errors import ProviderError, ValidationFailed
from provider.handlers.identity.token_params import CreateTokenRequest, EndTokenRequest, presented_token
from provider.handlers.params import DecryptRequest, DownloadRequest

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
NOW = 1_700_000_000.0
SIGNATURE = {"signature": ["Invalid signature provided. Please check the nonce or documentId."]}
DOWNLOAD = {
    "documentId": "did:op:d",
    "serviceId": "s",
    "consumerAddress": ADDRESS.lower(),
    "transferTxId": "0x",
    "fileIndex": "0",
    "nonce": "7",
}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"AuthToken": "a.b.c"}, PresentedToken("a.b.c", True)),
        ({"authtoken": " a.b.c "}, PresentedToken("a.b.c", True)),
        ({"Authorization": "a.b.c"}, PresentedToken("a.b.c", False)),
        ({"authorization": "Bearer a.b.c"}, PresentedToken("a.b.c", False)),
        ({"Authorization": "bearer  a.b.c"}, PresentedToken("a.b.c", False)),
        ({"Authorization": "Bearer "}, PresentedToken("Bearer", False)),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, None),
        ({"Authorization": "", "AuthToken": ""}, None),
        ({"Authorization": "x.y.z", "AuthToken": "a.b.c"}, PresentedToken("a.b.c", True)),
        ({"Authorization": "x.y.z", "AuthToken": " "}, PresentedToken("x.y.z", False)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_token_comes_from_either_header(headers: Mapping[str, str], expected: PresentedToken | None) -> None:
    assert presented_token({}, HTTPHeaders(headers)) == expected
    assert presented_token({"signature": ""}, HTTPHeaders(headers)) == expected


@pytest.mark.parametrize("signature", ["0x1", "x", 5, ["x"], True])
def test_any_signature_that_is_not_empty_wins(signature: object) -> None:
    assert presented_token({"signature": signature}, HTTPHeaders({"AuthToken": "a.b.c"})) is None


OLD, NEW = PresentedToken("a.b.c", needs_nonce=True), PresentedToken("a.b.c", needs_nonce=False)


def errors(data: dict[str, object], token: PresentedToken | None) -> Mapping[str, object]:
    with pytest.raises(ValidationFailed) as caught:
        DownloadRequest.parse(data, token)
    return caught.value.errors


@pytest.mark.parametrize("token", [OLD, NEW])
def test_token_takes_the_place_of_the_signature(token: PresentedToken) -> None:
    signed = DownloadRequest.parse(DOWNLOAD, token).signed
    assert (signed.address, signed.nonce, signed.signature, signed.token) == (ADDRESS, "7", "", token)
    assert errors(DOWNLOAD, None) == SIGNATURE


@pytest.mark.parametrize("nonce", [{}, {"nonce": ""}, {"nonce": None}], ids=["absent", "empty", "null"])
def test_nonce_may_be_left_out_with_authorization_only(nonce: dict[str, object]) -> None:
    data = {**{name: value for name, value in DOWNLOAD.items() if name != "nonce"}, **nonce}
    assert DownloadRequest.parse(data, NEW).signed.nonce == ""
    assert "nonce" in errors(data, OLD)
    assert "nonce" in errors({**data, "signature": "0x1"}, None)


@pytest.mark.parametrize("token", [OLD, NEW])
def test_nonce_that_is_given_must_be_one(token: PresentedToken) -> None:
    assert errors({**DOWNLOAD, "nonce": "nan"}, token) == {"nonce": ["The nonce must be a number."]}


def test_decrypt_takes_a_token_too() -> None:
    data = {
        "decrypterAddress": ADDRESS,
        "chainId": 1,
        "dataNftAddress": ADDRESS,
        "transactionId": "0x",
    }
    assert DecryptRequest.parse(data, NEW).signed.token is NEW
    with pytest.raises(ValidationFailed):
        DecryptRequest.parse(data, OLD)


CREATE = {"address": ADDRESS, "expiration": "1700000060", "nonce": "7", "signature": "0x1"}


def test_create_reads_what_clients_send() -> None:
    request = CreateTokenRequest.parse({**CREATE, "address": ADDRESS.lower(), "chainId": "137"}, now=NOW)
    assert (request.expires_at, request.signed.claimed) == (1_700_000_060, ADDRESS.lower())
    assert CreateTokenRequest.parse({**CREATE, "expiration": 1_700_000_060}, now=NOW).expires_at == 1_700_000_060


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"address": ""}, {"address": ["The address field is required."]}),
        ({"expiration": None}, {"expiration": ["The expiration field is required."]}),
        ({"expiration": "1.7e9"}, {"expiration": ["The expiration must be an integer."]}),
        ({"expiration": "-5"}, {"expiration": ["The expiration must be an integer."]}),
        ({"expiration": "1700000000"}, {"expiration": ["Invalid timestamp provided."]}),
        ({"expiration": 0}, {"expiration": ["Invalid timestamp provided."]}),
        ({"expiration": "0", "nonce": "nan"}, {"expiration": ["Invalid timestamp provided."]}),
        ({"nonce": "nan", "signature": ""}, {"nonce": ["The nonce must be a number."]}),
        ({"signature": ""}, SIGNATURE),
        ({"address": "0x12"}, {"address": ["The address format is invalid."]}),
    ],
    ids=str,
)
def test_create_refuses_in_the_order_of_its_rules(changes: dict[str, object], expected: object) -> None:
    with pytest.raises(ValidationFailed) as caught:
        CreateTokenRequest.parse({**CREATE, **changes}, now=NOW)
    assert caught.value.errors == expected


@pytest.mark.parametrize(
    ("valid_until", "expires_at"),
    [(None, None), ("", None), (1_700_000_060, 1_700_000_060), (1_700_000_060_999, 1_700_000_060)],
)
def test_end_of_a_node_token_is_optional_and_may_be_in_milliseconds(
    valid_until: object, expires_at: int | None
) -> None:
    data = {"address": ADDRESS, "nonce": "7", "signature": "0x1", "validUntil": valid_until}
    assert CreateTokenRequest.parse_node(data, now=NOW).expires_at == expires_at


@pytest.mark.parametrize("valid_until", [1, 1_700_000_000, 1_699_999_999_000, "soon", -5, [1], True])
def test_end_of_a_node_token_lies_in_the_future(valid_until: object) -> None:
    with pytest.raises(ValidationFailed) as caught:
        CreateTokenRequest.parse_node({**CREATE, "validUntil": valid_until}, now=NOW)
    assert caught.value.errors == {"validUntil": ["Invalid timestamp provided."]}


@pytest.mark.parametrize("missing", ["address", "token", "nonce"])
def test_ending_names_the_first_field_that_is_missing(missing: str) -> None:
    data = {"address": ADDRESS, "token": "a.b.c", "nonce": "7", "signature": "0x1"}
    assert "a.b.c" not in repr(EndTokenRequest.parse(data))
    with pytest.raises(ValidationFailed) as caught:
        EndTokenRequest.parse({name: value for name, value in data.items() if name != missing})
    assert caught.value.errors == {missing: [f"The {missing} field is required."]}


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ADDRESS, "1700000060"])
names = st.sampled_from(["address", "expiration", "validUntil", "token", "nonce", "signature", "chainId"])


@given(st.dictionaries(names, values | st.lists(values, max_size=2), max_size=7))
def test_any_data_gives_a_value_or_a_4xx(data: dict[str, object]) -> None:
    for parse in (
        lambda: CreateTokenRequest.parse(data, now=NOW),
        lambda: CreateTokenRequest.parse_node(data, now=NOW),
        lambda: EndTokenRequest.parse(data),
    ):
        status = 400
        try:
            parse()
        except ProviderError as error:
            status = error.http_status
        assert status == 400
