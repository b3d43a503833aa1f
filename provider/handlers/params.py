"""Query or JSON → frozen request values. Wire camelCase ends here. Pure; nothing is looked up."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

import orjson

from provider.auth.token import PresentedToken
from provider.errors import BodyNotObject, ValidationFailed
from provider.handlers import rules
from provider.handlers.rules import Data, Field, is_empty, validate, value_of, wire_text
from provider.keccak import is_address, to_checksum_address

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
    kind = content_type.partition(";")[0].strip().lower()
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
            fields.setdefault(_unescaped(name), _unescaped(value))
    return fields


def _unescaped(text: str) -> str:
    # Values of the field's own alphabet, which is nearly all, need neither.
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text) if "%" in text else text


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


def _text(data: Data, name: str) -> str:
    value = value_of(data, name)
    text = wire_text(value)
    if not text and not is_empty(value):
        raise ValidationFailed({name: [f"The {name} must be a string."]})
    return text


def _address(data: Data, name: str) -> str:
    text = _text(data, name)
    if not is_address(text):
        raise ValidationFailed({name: [f"The {name} format is invalid."]})
    return text


def parse_chain_id(value: object) -> int | None:
    """Chain id given as a JSON number or decimal text, else None."""
    text = wire_text(value)
    return int(text) if CHAIN_ID.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class NonceRequest:
    """`GET nonce`."""

    address: str

    FIELDS = (Field("userAddress", (rules.required(),)),)

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed."""
        validate(cls.FIELDS, data)
        return cls(address=to_checksum_address(_address(data, "userAddress")))


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signs (as sent, for the message), the checksummed address, the nonce, and the signature or else the token."""

    claimed: str
    address: str
    nonce: str
    signature: str = field(repr=False)
    token: PresentedToken | None = None

    @classmethod
    def parse(cls, data: Data, name: str, token: PresentedToken | None = None) -> Self:
        """`name` is the field of the claimed signer; `token` as `token_params.presented_token` found it.

        Raises ValidationFailed.
        """
        claimed = _address(data, name)
        nonce = wire_text(value_of(data, "nonce"))
        return cls(claimed, to_checksum_address(claimed), nonce, _text(data, "signature"), token)


def signed_fields(fields: Sequence[Field], data: Data, token: PresentedToken | None) -> Sequence[Field]:
    """What of `fields` holds for a request whose `token` stands in for `signature`, and perhaps for `nonce`."""
    if token is None:
        return fields
    left_out = {"signature"}
    if not token.needs_nonce and is_empty(data.get("nonce")):
        left_out.add("nonce")
    return [field for field in fields if field.name not in left_out]


@dataclass(frozen=True, slots=True)
class DecryptRequest:
    """`POST decrypt`, by transaction or by document."""

    signed: Signed
    chain_id: int | None
    chain_id_text: str
    data_nft: str
    data_nft_text: str
    transaction_id: str
    encrypted_document: str = field(repr=False)
    document_hash: str
    flags: object

    FIELDS = (
        Field("decrypterAddress", (rules.required(),)),
        Field("chainId", (rules.required(),)),
        Field("dataNftAddress", (rules.required(),)),
        Field(
            "transactionId",
            (rules.required_without("dataNftAddress", "encryptedDocument", "flags", "documentHash"),),
        ),
        Field(
            "encryptedDocument",
            (rules.required_without("transactionId"), rules.required_with("flags", "documentHash")),
        ),
        Field(
            "flags", (rules.required_without("transactionId"), rules.required_with("encryptedDocument", "documentHash"))
        ),
        Field(
            "documentHash", (rules.required_without("transactionId"), rules.required_with("encryptedDocument", "flags"))
        ),
        Field("nonce", (rules.required(), rules.numeric())),
        Field("signature", (rules.signature(),), bail=True),
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        data_nft_text = _address(data, "dataNftAddress")
        return cls(
            signed=Signed.parse(data, "decrypterAddress", token),
            chain_id=parse_chain_id(data["chainId"]),
            chain_id_text=_text(data, "chainId"),
            data_nft=to_checksum_address(data_nft_text),
            data_nft_text=data_nft_text,
            transaction_id=_text(data, "transactionId"),
            encrypted_document=_text(data, "encryptedDocument"),
            document_hash=_text(data, "documentHash"),
            flags=data.get("flags"),
        )


@dataclass(frozen=True, slots=True)
class FileInfoRequest:
    """`POST fileinfo`: an asset's service, or a file object."""

    did: str
    service_id: str
    file_object: Mapping[str, object] | None = field(repr=False)
    userdata: object = field(repr=False)
    with_checksum: bool

    FIELDS = (
        Field(
            "type",
            (
                rules.required_without("did"),
                rules.one_of("ipfs", "url", "arweave", "graphql", "smartcontract", "s3", "ftp"),
            ),
        ),
        Field("did", (rules.required_without("type"), rules.starts_with("did:op"))),
        Field("hash", (rules.required_if("type", "ipfs"),)),
        Field("url", (rules.required_if("type", "url"),)),
        Field("transactionId", (rules.required_if("type", "arweave"),)),
        Field("serviceId", (rules.required_without("type"),)),
    )

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed."""
        validate(cls.FIELDS, data)
        by_asset = not is_empty(data.get("did"))
        return cls(
            did=_text(data, "did"),
            service_id=_text(data, "serviceId"),
            file_object=None if by_asset else data,
            userdata=data.get("userdata"),
            with_checksum=bool(data.get("checksum")),
        )


@dataclass(frozen=True, slots=True)
class InitializeRequest:
    """`GET initialize`."""

    did: str
    service_id: str
    consumer: str
    file_index: int | None
    order_tx_id: str
    userdata: object = field(repr=False)

    FIELDS = (
        Field("documentId", (rules.required(),)),
        Field("serviceId", (rules.required(),)),
        Field("consumerAddress", (rules.required(),)),
        Field("fileIndex", (rules.integer(), rules.at_least_zero()), optional=True),
        Field("transferTxId", (), optional=True),
    )

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed."""
        validate(cls.FIELDS, data)
        file_index = _text(data, "fileIndex")
        return cls(
            did=_text(data, "documentId"),
            service_id=_text(data, "serviceId"),
            consumer=to_checksum_address(_address(data, "consumerAddress")),
            file_index=int(file_index) if file_index else None,
            order_tx_id=_text(data, "transferTxId"),
            userdata=data.get("userdata"),
        )


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """`GET download`."""

    signed: Signed
    did: str
    service_id: str
    order_tx_id: str
    file_index: str
    userdata: object = field(repr=False)

    FIELDS = (
        Field("documentId", (rules.required(),), bail=True),
        Field("serviceId", (rules.required(),)),
        Field("consumerAddress", (rules.required(),), bail=True),
        Field("transferTxId", (rules.required(),), bail=True),
        Field("fileIndex", (rules.required(),)),
        Field("nonce", (rules.required(), rules.numeric()), bail=True),
        Field("signature", (rules.signature(),)),
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        return cls(
            signed=Signed.parse(data, "consumerAddress", token),
            did=_text(data, "documentId"),
            service_id=_text(data, "serviceId"),
            order_tx_id=_text(data, "transferTxId"),
            file_index=_text(data, "fileIndex"),
            userdata=data.get("userdata"),
        )
