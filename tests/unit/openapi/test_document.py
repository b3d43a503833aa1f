"""The description: made of the rules that are checked, and of words that exist."""

import re
from typing import Any

import pytest
from jsonschema_rs import validator_for

from provider.errors import ValidationFailed
from provider.errors.document import error_classes
from provider.handlers.base import Endpoint
from provider.handlers.params import DecryptRequest, FileInfoRequest, InitializeRequest
from provider.handlers.routes import Route
from provider.handlers.rules import Field, validate
from provider.openapi.document import BODIES, build_document, input_name
from provider.openapi.operations import COMPUTE_OPERATIONS, OPERATIONS, TAGS
from provider.openapi.schemas import object_schema, word_of

EVERYTHING = [Route(method, path, Endpoint, None) for method, path in OPERATIONS]


@pytest.fixture(scope="module")
def document() -> Any:
    return build_document(EVERYTHING)


def operations(document: Any) -> list[tuple[str, Any]]:
    return [(f"{method} {path}", said) for path, item in document["paths"].items() for method, said in item.items()]


def test_operation_ids_are_unique(document: Any) -> None:
    ids = [said["operationId"] for _, said in operations(document)]
    # ocean.js 9 writes fileInfo, which is described once.
    assert len(ids) == len(set(ids)) == len(OPERATIONS) - 1


def test_the_url_of_the_server_is_the_one_of_the_settings() -> None:
    assert build_document([])["servers"] == [{"url": "."}]
    document = build_document([], public_url="https://data.example/provider/")
    assert document["servers"] == [{"url": "https://data.example/provider"}]


def test_links_lead_to_operations(document: Any) -> None:
    named = {f"#/{said['tags'][0]}/{said['operationId']}" for _, said in operations(document)}
    linked = set(re.findall(r"\]\((#[^)]+)\)", document["info"]["description"]))
    assert linked
    assert linked <= named


def test_every_operation_has_a_known_tag_and_says_what_may_go_wrong(document: Any) -> None:
    for name, said in operations(document):
        assert set(said["tags"]) <= TAGS.keys(), name
        assert {"413", "500"} <= said["responses"].keys(), name


def test_a_route_without_description_is_left_out() -> None:
    assert build_document([Route("GET", "/unheard-of", Endpoint, None)])["paths"] == {}


def test_every_field_has_a_word_and_an_example_that_fits() -> None:
    for key, operation in OPERATIONS.items():
        for name in [*(field.name for field in operation.fields), *operation.also]:
            word = word_of(name, operation.words)
            assert word.text.endswith("."), (key, name)
            assert validator_for(dict(word.schema)).is_valid(word.example), (key, name)


def test_examples_of_bodies_fit_the_schema_and_the_rules(document: Any) -> None:
    for key, operation in OPERATIONS.items():
        if operation.example:
            schema = document["components"]["schemas"][input_name(operation)]
            assert list(validator_for(schema).iter_errors(dict(operation.example))) == [], key
            validate(operation.fields, dict(operation.example))


def test_examples_of_answers_fit_their_schema(document: Any) -> None:
    for key, operation in OPERATIONS.items():
        for reply in operation.replies:
            if reply.example is not None:
                schema = {**(reply.schema or {}), "components": document["components"]}
                assert list(validator_for(schema).iter_errors(reply.example)) == [], key


def refused(fields: tuple[Field, ...], data: dict[str, object]) -> bool:
    try:
        validate(fields, data)
    except ValidationFailed:
        return True
    return False


DECRYPT = {
    "decrypterAddress": f"0x{'ab' * 20}",
    "chainId": 1,
    "dataNftAddress": f"0x{'ab' * 20}",
    "nonce": "1",
    "signature": "0x00",
}
DOCUMENT = {"encryptedDocument": "0x00", "flags": 0, "documentHash": "0x00"}
ALGORITHM = {"documentId": "did:op:1"}
START = {
    "dataset": {"documentId": "did:op:1", "serviceId": 1, "transferTxId": "0x1"},
    "consumerAddress": f"0x{'ab' * 20}",
    "nonce": 1,
    "signature": "0x00",
}
START_FIELDS = tuple(COMPUTE_OPERATIONS["POST", "/api/services/compute"].fields)


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        (DecryptRequest.FIELDS, DECRYPT),
        (DecryptRequest.FIELDS, {**DECRYPT, "transactionId": "0x1"}),
        (DecryptRequest.FIELDS, {**DECRYPT, **DOCUMENT}),
        (DecryptRequest.FIELDS, {**DECRYPT, "encryptedDocument": "0x00"}),
        (DecryptRequest.FIELDS, {**DECRYPT, **DOCUMENT, "nonce": "0x1"}),
        (DecryptRequest.FIELDS, {**DECRYPT, **DOCUMENT, "signature": ""}),
        (FileInfoRequest.FIELDS, {}),
        (FileInfoRequest.FIELDS, {"type": "url"}),
        (FileInfoRequest.FIELDS, {"type": "url", "url": "https://a.example"}),
        (FileInfoRequest.FIELDS, {"type": "nonsense"}),
        (FileInfoRequest.FIELDS, {"did": "did:op:1"}),
        (FileInfoRequest.FIELDS, {"did": "did:op:1", "serviceId": 0}),
        (FileInfoRequest.FIELDS, {"did": "did:other:1", "serviceId": "1"}),
        (InitializeRequest.FIELDS, {"documentId": "a", "serviceId": "1", "consumerAddress": f"0x{'ab' * 20}"}),
        (
            InitializeRequest.FIELDS,
            {"documentId": "a", "serviceId": "1", "consumerAddress": f"0x{'ab' * 20}", "fileIndex": "-1"},
        ),
        (START_FIELDS, START),
        (START_FIELDS, {**START, "algorithm": ALGORITHM}),
        (START_FIELDS, {**START, "algorithm": {"meta": {"rawcode": "1"}}}),
        (START_FIELDS, {**START, "algorithm": {"serviceId": "1", "transferTxId": "0x1"}}),
        (START_FIELDS, {**START, "algorithm": ALGORITHM, "dataset": {"documentId": "did:op:1"}}),
    ],
)
def test_schema_and_rules_agree(fields: tuple[Field, ...], data: dict[str, object]) -> None:
    schema = object_schema(fields, (), {})
    assert validator_for(schema).is_valid(data) != refused(fields, data)


def test_every_shape_of_an_error_is_described(document: Any) -> None:
    for error in error_classes():
        assert BODIES[error.shape] in document["components"]["schemas"]
