"""The input of a request: query or JSON → fields by their wire names, and single fields → values. Pure."""

import json
import re
from urllib.parse import unquote

import orjson

from provider.errors import BodyNotObject, ValidationFailed
from provider.handlers.rules import Data, is_empty, value_of, wire_text
from provider.keccak import is_address
from provider.wire_text import ows

# Ten times what the richest documented call uses; Python's own default is no limit at all.
MAX_QUERY_FIELDS = 100
# An integer this long may not fit in 64 bits, and orjson would make a float of it.
LONG_DIGITS = re.compile(rb"[0-9]{19}")
CHAIN_ID = re.compile(r"[0-9]{1,18}")


def request_data(query: str, content_type: str, body: bytes) -> Data:
    """The input of a request: the query if it has any parameter, else the JSON body (`provider-api.md` section 1).

    The first of repeated query keys wins. Broken JSON and other content types count as no data at all. Raises
    BodyNotObject for a JSON body that is no object.
    """
    if query:
        fields = parse_query(query)
        if fields:
            return fields
    kind = ows(content_type.partition(";")[0]).lower()
    if not body or not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        return {}
    value = parse_json(body)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BodyNotObject
    return value


def parse_query(query: str) -> dict[str, str]:
    """Fields of a query as `application/x-www-form-urlencoded` (as `urllib.parse.parse_qsl`, blank values kept).

    The first of repeated keys wins. Raises ValidationFailed for more than MAX_QUERY_FIELDS.
    """
    if query.count("&") >= MAX_QUERY_FIELDS:
        raise ValidationFailed({"query": ["The query has too many fields."]})
    fields: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            # Values of the field's own alphabet, which is nearly all, have nothing to undo.
            if "%" in pair or "+" in pair:
                name, value = _unescaped(name), _unescaped(value)
            fields.setdefault(name, value)
    return fields


def _unescaped(text: str) -> str:
    return unquote(text.replace("+", " "))


def parse_json(body: bytes | str) -> object:
    """A JSON value with integers of any size kept exact, or None when it cannot be parsed.

    orjson goes first: it refuses NaN and infinities (RFC 8259 section 6), lone surrogates, which could not be encoded
    again, and nesting that could overflow json's stack. json keeps the digits of integers above 64 bits, as in nonces.
    """
    text = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    try:
        value: object = orjson.loads(text)
        return json.loads(text) if LONG_DIGITS.search(text) else value
    except (ValueError, RecursionError):
        return None


def parse_text(data: Data, name: str) -> str:
    """The text of a field, empty when it is missing or empty. Raises ValidationFailed for what is no text."""
    value = value_of(data, name)
    if type(value) is str:
        return value
    text = wire_text(value)
    if not text and not is_empty(value):
        raise ValidationFailed({name: [f"The {name} must be a string."]})
    return text


def parse_address(data: Data, name: str) -> str:
    """The address of a field, as it was written. Raises ValidationFailed."""
    text = parse_text(data, name)
    if not is_address(text):
        raise ValidationFailed({name: [f"The {name} format is invalid."]})
    return text


def parse_chain_id(value: object) -> int | None:
    """Chain id given as a JSON number or decimal text, else None."""
    text = wire_text(value)
    return int(text) if CHAIN_ID.fullmatch(text) else None
