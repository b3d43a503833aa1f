"""Reads the input of a request: query or JSON → fields by wire name, and single fields → values. Pure."""

import re
from urllib.parse import unquote

from provider.crypto.keccak import is_address
from provider.errors import BodyNotObject, ValidationFailed
from provider.handlers.json_body import JsonShape, parse_json
from provider.handlers.rules import Data, is_empty, value_of, wire_text
from provider.wire.text import ows

# Ten times what the richest documented call uses; Python's own default is no limit at all.
MAX_QUERY_FIELDS = 100
CHAIN_ID = re.compile(r"[0-9]{1,18}")


# All names that an endpoint reads from a JSON body, including those of file objects (`fileinfo`). Other names are not
# kept while the request is answered.
KNOWN_FIELDS = frozenset(
    (
        *("abi", "additionalDatasets", "address", "algorithm", "chainId", "checksum", "command", "compute"),
        *("consumerAddress", "dataNftAddress", "dataset", "datasets", "decrypterAddress", "did", "documentHash"),
        *("documentId", "encryptedDocument", "entrypoint", "environment", "expiration", "fileIndex", "flags", "hash"),
        *("headers", "image", "index", "jobId", "maxJobDuration", "method", "nonce", "output", "policyServer", "query"),
        *("s3Access", "seconds", "serviceId", "signature", "token", "transactionId", "transferTxId", "type", "url"),
        *("userAddress", "userdata", "validUntil"),
    )
)


def is_json(content_type: str) -> bool:
    """Tell whether this `Content-Type` names JSON."""
    kind = ows(content_type.partition(";")[0]).lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def request_data(query: str, content_type: str, body: bytes | bytearray, shape: JsonShape | None = None) -> Data:
    """Return the input: the query if it has a parameter, otherwise the JSON body (`provider-api.md` section 1).

    The first of repeated query keys wins. Broken JSON and other content types count as no data. Of a body, whose
    `shape` may be known, only KNOWN_FIELDS are kept. Raises BodyTooComplex, and BodyNotObject if it is not an object.
    """
    if query:
        fields = parse_query(query)
        if fields:
            return fields
    if not body or not is_json(content_type):
        return {}
    value = parse_json(body, shape)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BodyNotObject
    return {name: field for name, field in value.items() if name in KNOWN_FIELDS}


def parse_query(query: str) -> dict[str, str]:
    """Return the fields of an `application/x-www-form-urlencoded` query, as `urllib.parse.parse_qsl` with blank values.

    The first of repeated keys wins. Raises ValidationFailed for more than MAX_QUERY_FIELDS.
    """
    if query.count("&") >= MAX_QUERY_FIELDS:
        raise ValidationFailed({"query": ["The query has too many fields."]})
    fields: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            # Nearly all values contain only characters that need no decoding.
            if "%" in pair or "+" in pair:
                name, value = _unescaped(name), _unescaped(value)
            fields.setdefault(name, value)
    return fields


def _unescaped(text: str) -> str:
    return unquote(text.replace("+", " "))


def parse_text(data: Data, name: str) -> str:
    """Return the text of a field; empty if it is missing. Raises ValidationFailed if it is not text."""
    value = value_of(data, name)
    if type(value) is str:
        return value
    text = wire_text(value)
    if not text and not is_empty(value):
        raise ValidationFailed({name: [f"The {name} must be a string."]})
    return text


def parse_address(data: Data, name: str) -> str:
    """Return the address of a field as it was written. Raises ValidationFailed."""
    text = parse_text(data, name)
    if not is_address(text):
        raise ValidationFailed({name: [f"The {name} format is invalid."]})
    return text


def parse_chain_id(value: object) -> int | None:
    """Return a chain id given as JSON number or decimal text; None otherwise."""
    text = wire_text(value)
    return int(text) if CHAIN_ID.fullmatch(text) else None
