"""The document's components (answers, headers, authentication), and schemas of inputs made from their rules."""

from collections.abc import Iterable, Mapping, Sequence

from provider.handlers.rules import Demand, Field
from provider.openapi.fields import ADDRESS, WORDS
from provider.openapi.model import Schema, Word

STREAM_HEADERS = (
    "Content-Disposition", "Content-Length", "Accept-Ranges", "ETag", "Last-Modified", "Access-Control-Expose-Headers",
)  # fmt: skip
VALIDATORS = ("ETag", "Last-Modified")
CONDITIONS = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
NOTHING: tuple[object, ...] = (None, "", [], {})


def ref(name: str) -> Schema:
    """Return a reference to a body of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: Mapping[str, object], optional: Iterable[str] = ()) -> dict[str, object]:
    """Describe an object with exactly these properties, all required but the `optional` ones."""
    left_out = set(optional)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in left_out],
        "additionalProperties": False,
    }


_TEXT: Schema = {"type": "string"}
_HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
_FILE_NAMES = ("contentLength", "contentType", "filename", "checksum", "checksumType")

SCHEMAS: dict[str, Schema] = {
    "Error": {**closed({"error": _TEXT}), "description": "A refusal, as text."},
    "ComputeRefusal": {
        **closed({"error": {"type": "object", "additionalProperties": _TEXT, "minProperties": 1}}),
        "description": "A refusal of one part of a compute request: the part and a code.",
        "examples": [{"error": {"algorithm": "not_trusted_algo"}}],
    },
    "ValidationErrors": {
        **closed(
            {
                "errors": {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"type": "array", "items": _TEXT, "minItems": 1},
                },
                "message": {"const": "Validation error"},
                "success": {"const": False},
            }
        ),
        "description": "Invalid fields, dotted if nested, each with its messages.",
        "examples": [
            {
                "errors": {"documentId": ["The documentId field is required."]},
                "message": "Validation error",
                "success": False,
            }
        ],
    },
    "SignatureError": {
        **closed(
            {
                "errors": closed({"signature": _TEXT}),
                "message": {"const": "Validation error"},
                "success": {"const": False},
            }
        ),
        "description": "The signature or nonce was refused: a text, not a list.",
    },
    "Root": closed(
        {
            "software": {"const": "Provider"},
            "version": _TEXT,
            "chainIds": {"type": "array", "items": {"type": "integer"}},
            "providerAddresses": {"type": "object", "additionalProperties": ADDRESS},
            "serviceEndpoints": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2},
            },
        }
    )
    | {"additionalProperties": True},
    "Nonce": closed({"nonce": _TEXT}),
    "Links": closed(
        {
            "documentId": _TEXT,
            "jobId": _TEXT,
            "expires": {"type": "string", "format": "date-time"},
            "files": {
                "type": "array",
                "items": closed(
                    {
                        "index": {"type": "integer", "minimum": 0},
                        "name": _TEXT,
                        "url": _TEXT,
                        "length": {"type": ["integer", "null"], "minimum": 0},
                        "contentType": _TEXT,
                        "etag": {"type": ["string", "null"]},
                        "ranges": {"type": "boolean"},
                    },
                    ("length", "contentType", "etag", "ranges"),
                ),
            },
        },
        ("documentId", "jobId"),
    ),
    "DdoProof": closed(
        {
            "hash": _HASH,
            "publicKey": ADDRESS,
            "r": {"type": "array", "items": _HASH},
            "s": {"type": "array", "items": _HASH},
            "v": {"type": "integer", "enum": [27, 28]},
        }
    ),
    "ProviderFee": closed(
        {
            "providerFeeAddress": ADDRESS,
            "providerFeeToken": ADDRESS,
            "providerFeeAmount": {"type": "string", "pattern": "^[0-9]+$"},
            "providerData": {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"},
            "v": {"type": "integer", "enum": [27, 28]},
            "r": _HASH,
            "s": _HASH,
            "validUntil": {"type": "integer", "minimum": 0},
        }
    ),
    "ValidOrder": closed({"validOrder": _HASH}),
    "OrderTerms": closed(
        {"datatoken": ADDRESS, "nonce": {"type": ["string", "null"]}, "providerFee": ref("ProviderFee")}
    ),
    "Token": closed({"token": _TEXT}),
    "ComputeItem": {
        **closed(
            {"datatoken": ADDRESS, "providerFee": ref("ProviderFee"), "validOrder": _HASH},
            ("datatoken", "providerFee", "validOrder"),
        ),
        "description": "With `validOrder` alone nothing is due; with a fee as well, reuse that order.",
        "minProperties": 1,
    },
    "ComputeTerms": closed(
        {"datasets": {"type": "array", "items": ref("ComputeItem")}, "algorithm": ref("ComputeItem")}, ("algorithm",)
    ),
    "FileInfo": {
        "type": "array",
        "items": closed(
            {
                "index": {"type": "integer", "minimum": 0},
                "type": _TEXT,
                "valid": {"type": "boolean"},
                "contentLength": {"type": ["string", "integer"]},
                "contentType": _TEXT,
                "filename": _TEXT,
                "checksum": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "checksumType": {"const": "sha256"},
            },
            _FILE_NAMES,
        ),
    },
}

HEADERS: Mapping[str, Schema] = {
    "X-Request-ID": {
        "description": "Identifies this request in the server's log.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Allow": {"description": "The methods of this path.", "required": True, "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}},
    "Location": {"description": "Where to go.", "required": True, "schema": _TEXT},
    "ETag": {"description": "Validator of the body.", "schema": _TEXT},
    "Last-Modified": {"description": "As sent by the file's host.", "schema": _TEXT},
    "Accept-Ranges": {"description": "`bytes` if the file's host serves ranges.", "schema": _TEXT},
    "Content-Length": {"description": "Present if the length is known.", "schema": {"type": "integer", "minimum": 0}},
    "Content-Range": {"description": "Which bytes these are, or how many the file has.", "schema": _TEXT},
    "Content-Disposition": {
        "description": "`attachment;filename=<name>`; quoted where RFC 6266 demands it.",
        "required": True,
        "schema": {"type": "string", "pattern": "^attachment;filename=."},
    },
    "Access-Control-Expose-Headers": {"description": "Headers that scripts in browsers may read.", "schema": _TEXT},
}

# Request headers. The id has no pattern: one of another form is replaced, not refused.
PARAMETERS: Mapping[str, Schema] = {
    "X-Request-ID": {
        "in": "header",
        "description": "The request's id: up to 64 letters, digits, `.`, `_`, `-`. Otherwise the server makes one up.",
        "schema": _TEXT,
        "example": "front-proxy-4711",
    },
    "Range": {
        "in": "header",
        "description": "Passed to the file's host (RFC 9110 section 14.2).",
        "schema": _TEXT,
        "example": "bytes=0-1023",
    },
    "If-Range": {
        "in": "header",
        "description": "Send the range only of this version, otherwise the whole file (RFC 9110 section 13.1.5).",
        "schema": _TEXT,
        "example": '"v1"',
    },
    "If-Match": {
        "in": "header",
        "description": "Answer 412 unless the file has one of these tags.",
        "schema": _TEXT,
        "example": '"v1"',
    },
    "If-None-Match": {
        "in": "header",
        "description": "Answer 304 if the file has one of these tags.",
        "schema": _TEXT,
        "example": '"v0"',
    },
    "If-Modified-Since": {
        "in": "header",
        "description": "Answer 304 if the file was not changed since. Ignored if there is an If-None-Match.",
        "schema": _TEXT,
        "example": "Sat, 29 Oct 1994 19:43:31 GMT",
    },
    "If-Unmodified-Since": {
        "in": "header",
        "description": "Answer 412 if the file was changed since. Ignored if there is an If-Match.",
        "schema": _TEXT,
        "example": "Fri, 01 Jan 2100 00:00:00 GMT",
    },
}

SECURITY: Mapping[str, Schema] = {
    "authToken": {
        "type": "apiKey",
        "in": "header",
        "name": "AuthToken",
        "description": "A token from createAuthToken replaces `nonce` and `signature`.",
    },
    "authorization": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The same token as newer clients send it, alone or after `Bearer`.",
    },
}


def word_of(name: str, words: Mapping[str, Word]) -> Word:
    """Return the meaning of a field, dotted or not: the operation's own, otherwise the common one."""
    last = name.rpartition(".")[2]
    return words.get(last) or WORDS[last]


def field_schema(field: Field, words: Mapping[str, Word], *, as_query: bool) -> dict[str, object]:
    """Return the JSON Schema of one field's value, from its meaning and its rules. Query values are always text."""
    schema: dict[str, object] = dict(word_of(field.name, words).schema)
    for rule in field.rules:
        schema |= rule.schema or {}
    if as_query:
        # `minimum` concerns numbers and says nothing about text.
        schema.pop("minimum", None)
        return {**schema, "type": "string", "minLength": 1} if is_required(field) else {**schema, "type": "string"}
    if is_required(field):
        # In the validation layer, `required` also means: not empty.
        return {**schema, "minLength": 1} if schema else {"not": {"enum": list(NOTHING)}}
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


def is_required(field: Field) -> bool:
    """Tell whether the field is required whatever else is given."""
    return not field.optional and any(rule.demand is not None and rule.demand.when == "always" for rule in field.rules)


def object_schema(fields: Sequence[Field], also: Sequence[str], words: Mapping[str, Word]) -> dict[str, object]:
    """Return the JSON Schema of an input as a JSON object. Dotted fields nest."""
    schema: dict[str, object] = {"type": "object", "properties": {}}
    conditions: list[Schema] = []
    for field in fields:
        _place(schema, field.name, field_schema(field, words, as_query=False), word_of(field.name, words))
        demands = [rule.demand for rule in field.rules if rule.demand is not None] if not field.optional else []
        conditions += [_condition(field.name, demand) for demand in demands]
    for name in also:
        _place(schema, name, field_schema(Field(name, ()), words, as_query=False), word_of(name, words))
    plain = [field.name for field in fields if is_required(field) and "." not in field.name]
    if plain:
        schema["required"] = plain
    rest = [condition for condition in conditions if condition.keys() != {"required"}]
    if rest:
        schema["allOf"] = rest
    return schema


def _place(schema: dict[str, object], name: str, value: Mapping[str, object], word: Word) -> None:
    first, _, rest = name.partition(".")
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101 - made here
    if not rest:
        described = {"description": word.text, "examples": [word.example]}
        properties[first] = {**value, **described, **properties.get(first, {})}
        return
    _place(properties.setdefault(first, {"type": "object", "properties": {}}), rest, value, word)


def _present(name: str) -> dict[str, object]:
    first, _, rest = name.partition(".")
    schema: dict[str, object] = {"required": [first]}
    if rest:
        schema["properties"] = {first: _present(rest)}
    return schema


def _condition(name: str, demand: Demand) -> dict[str, object]:
    others: list[Schema] = [_present(other) for other in demand.others]
    all_others = others[0] if len(others) == 1 else {"allOf": others}
    match demand.when:
        case "always":
            return _present(name)
        case "without_any":
            return {"anyOf": [_present(name), all_others]}
        case "with_any":
            return {"anyOf": [_present(name), {"not": {"anyOf": others}}]}
        case "with_all":
            return {"anyOf": [_present(name), {"not": all_others}]}
        case "if_equal":
            equal = {"properties": {demand.others[0]: {"const": demand.text}}}
            return {"if": {**equal, **others[0]}, "then": _present(name)}
