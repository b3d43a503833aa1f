"""No field that some endpoint reads is dropped from a JSON body."""

import ast
from collections.abc import Iterator
from pathlib import Path

import provider
from provider.handlers import params
from provider.handlers.compute import params as compute_params
from provider.handlers.identity import token_params
from provider.handlers.links import params as link_params
from provider.handlers.request_data import KNOWN_FIELDS, request_data
from provider.handlers.rules import Field
from provider.openapi.operations import OPERATIONS
from tests.support.syntax import nodes_of

ROOT = Path(provider.__file__).parent
READERS = [*(ROOT / "handlers").rglob("*.py"), ROOT / "files/file_object.py", ROOT / "assets/container.py"]
# Of an object inside a field, of headers, or of settings of an answer.
INSIDE = {
    *(
        "Accept",
        "AuthToken",
        "Authorization",
        "Connection",
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "Expect",
    ),
    *(
        "If-None-Match",
        "Origin",
        "Range",
        "Traceparent",
        "X-Forwarded-Proto",
        "X-Request-ID",
        "Access-Control-Request-Headers",
    ),
    *("algocustomdata", "algouserdata", "forcePathStyle", "meta", "objectKey", "region"),
    *("requestPayer", "sessionToken"),
    # Of the log line.
    "outcome",
    # Of a file object that is in the lists of assets only, never in a request.
    *("path", "source"),
    # Of a body that is not read by `request_data`.
    *("credentialSubject", "ddo", "publisherAddress"),
}


def names_read() -> Iterator[str]:
    """Constants that are looked up in a mapping called data, arguments, raw or values."""
    for path in READERS:
        for node in nodes_of(path, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                yield from constants(node.args[:1])
            elif isinstance(node.func, ast.Name) and len(node.args) > 1:
                first = node.args[0]
                if isinstance(first, ast.Name) and first.id in ("data", "arguments"):
                    yield from constants(node.args[1:2])


def constants(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.partition(".")[0]


def test_every_field_of_a_request_value_is_known() -> None:
    found = set()
    for module in (params, compute_params, token_params, link_params):
        for request in vars(module).values():
            for fields in (getattr(request, "FIELDS", ()), getattr(request, "NODE_FIELDS", ())):
                found |= {field.name.partition(".")[0] for field in fields if isinstance(field, Field)}
    assert len(found) > 20
    assert found <= KNOWN_FIELDS


def test_every_field_that_is_looked_up_is_known() -> None:
    found = set(names_read())
    assert "policyServer" in found
    assert found - KNOWN_FIELDS - INSIDE == set()


def test_every_described_field_is_known() -> None:
    described = {name for operation in OPERATIONS.values() for name in operation.also}
    assert described - KNOWN_FIELDS == set()


def test_other_fields_are_dropped() -> None:
    body = b'{"did": 1, "other": [1, 2]}'
    assert request_data("", "application/json", body) == {"did": 1}
