"""The body of a validation: which text is hashed, and when a signature is asked for."""

import hashlib
import json

import pytest

from provider.errors import BodyNotObject, BodyTooComplex, ValidationFailed
from provider.handlers.assets.params import ValidateRequest
from provider.handlers.json_body import member_text
from tests.support.recursion import recursion_of_a_server

PUBLISHER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
SIGNED = {"publisherAddress": PUBLISHER, "nonce": "1", "signature": "0x" + "1f" * 65}


def parse(body: str, **headers: str) -> ValidateRequest:
    return ValidateRequest.parse(body.encode(), None, headers)


@pytest.mark.parametrize(
    "ddo",
    [
        '{"id":"x","n":1.0,"e":1e21,"big":18446744073709551617}',
        '{ "id" : "\\u00e9 \\" } , { \\\\" , "list" : [ 1 , {"a": "}"} ] }',
        '{"id":"é€😀","ddo":{"ddo":1}}',
        '{\n\t"id":\r "x"}',
    ],
)
def test_the_hash_is_that_of_the_text_as_it_was_sent(ddo: str) -> None:
    whole = ddo.replace('"ddo"', '"o"')
    inside = (f'{{"ddo":{ddo},"nonce":null}}', f' {{ "nonce" : null , "\\u0064do" : {ddo} }} ')
    for body, sent in ((inside[0], ddo), (inside[1], ddo), (whole, whole)):
        assert parse(body).document_hash == hashlib.sha256(sent.encode()).digest()


def test_of_two_members_with_one_name_the_last_counts_for_value_and_text() -> None:
    request = parse('{"ddo":{"id":"a"},"ddo":{"id":"b"}}')
    assert request.ddo == {"id": "b"}
    assert request.document_hash == hashlib.sha256(b'{"id":"b"}').digest()


def test_a_member_that_is_not_there_has_no_text() -> None:
    assert member_text('{"a":{"b":1}}', "b") == ""


def test_without_any_part_of_a_proof_nothing_is_signed() -> None:
    assert parse('{"ddo":{"id":"a"}}').signed is None
    assert parse('{"ddo":{"id":"a"},"signature":""}', Authorization="undefined").signed is None
    assert parse('{"id":"a","signature":"0x"}').signed is None


def test_one_part_of_a_proof_demands_the_others() -> None:
    for name in SIGNED:
        left_out = {key: value for key, value in SIGNED.items() if key != name}
        with pytest.raises(ValidationFailed) as refused:
            parse(json.dumps({"ddo": {"id": "a"}, **left_out}))
        assert list(refused.value.errors) == [name]


def test_the_signer_is_the_publisher() -> None:
    signed = parse(json.dumps({"ddo": {"id": "a"}, **SIGNED})).signed
    assert signed is not None
    assert (signed.address, signed.nonce) == (PUBLISHER, "1")


def test_a_token_may_replace_nonce_and_signature() -> None:
    body = json.dumps({"ddo": {"id": "a"}, "publisherAddress": PUBLISHER})
    signed = parse(body, Authorization="a.b.c").signed
    assert signed is not None
    assert signed.token is not None


@pytest.mark.parametrize("body", ["", "[]", "1", "null", "{", '{"a":NaN}', '{"a":"\\ud800"}', "[" * 2000])
def test_what_is_no_object_is_refused(body: str) -> None:
    with pytest.raises(BodyNotObject):
        parse(body)


def test_deep_and_rich_bodies_are_refused() -> None:
    with pytest.raises((BodyNotObject, BodyTooComplex)):
        parse('{"ddo":{"a":' + "[" * 3000 + "]" * 3000 + "}}")
    with pytest.raises(BodyTooComplex):
        parse('{"ddo":{"a":[' + "1," * 5000 + "1]}}")


def test_both_readers_take_what_is_as_deep_as_it_may_be() -> None:
    deep = b'{"ddo":' + b'{"a":' * 500 + b"1" + b"}" * 501
    with recursion_of_a_server():
        assert ValidateRequest.parse(deep, None, {}).ddo["a"]
