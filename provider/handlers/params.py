"""Parses the fields of requests into frozen values. The camelCase names of the wire end here. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from provider.auth.identify import Signed
from provider.auth.token import PresentedToken
from provider.crypto.keccak import to_checksum_address
from provider.handlers import rules
from provider.handlers.request_data import parse_address, parse_chain_id, parse_text
from provider.handlers.rules import Data, Field, is_empty, validate, value_of, wire_text


@dataclass(frozen=True, slots=True)
class NonceRequest:
    """`GET nonce`."""

    address: str

    FIELDS = (Field("userAddress", (rules.required(),)),)

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed."""
        validate(cls.FIELDS, data)
        return cls(address=to_checksum_address(parse_address(data, "userAddress")))


def parse_signed(data: Data, name: str, token: PresentedToken | None = None) -> Signed:
    """Parse who signs. `name`: the field of the signer's address. `token`: from `token_params.presented_token`.

    Raises ValidationFailed.
    """
    claimed = parse_address(data, name)
    nonce = wire_text(value_of(data, "nonce"))
    return Signed(claimed, to_checksum_address(claimed), nonce, parse_text(data, "signature"), token)


def signed_fields(fields: Sequence[Field], data: Data, token: PresentedToken | None) -> Sequence[Field]:
    """Return the fields to check. A token replaces `signature`, and `nonce` too if the token needs none."""
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

    # wire: indexers of Ocean Enterprise also send `flags` and `documentHash`. The event of the transaction decides.
    BY_TRANSACTION = (*FIELDS[:4], *FIELDS[-2:])
    # Without a hash, the endpoint opens only the credential in a document that is stored elsewhere. wire: indexers of
    # Ocean Enterprise then send an empty `transactionId` and no `documentHash`.
    WITHOUT_HASH = (
        *FIELDS[:3],
        Field("encryptedDocument", (rules.required(),)),
        Field("flags", (rules.required(),)),
        *FIELDS[-2:],
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls._fields(data), data, token), data)
        data_nft_text = parse_address(data, "dataNftAddress")
        return cls(
            signed=parse_signed(data, "decrypterAddress", token),
            chain_id=parse_chain_id(data["chainId"]),
            chain_id_text=parse_text(data, "chainId"),
            data_nft=to_checksum_address(data_nft_text),
            data_nft_text=data_nft_text,
            transaction_id=parse_text(data, "transactionId"),
            encrypted_document=parse_text(data, "encryptedDocument"),
            document_hash=parse_text(data, "documentHash"),
            flags=data.get("flags"),
        )

    @classmethod
    def _fields(cls, data: Data) -> Sequence[Field]:
        """Return the fields of this form of the request."""
        if not is_empty(data.get("transactionId")):
            return cls.BY_TRANSACTION
        if "transactionId" in data and is_empty(data.get("documentHash")):
            return cls.WITHOUT_HASH
        return cls.FIELDS


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
            did=parse_text(data, "did"),
            service_id=parse_text(data, "serviceId"),
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
        file_index = parse_text(data, "fileIndex")
        return cls(
            did=parse_text(data, "documentId"),
            service_id=parse_text(data, "serviceId"),
            consumer=to_checksum_address(parse_address(data, "consumerAddress")),
            file_index=int(file_index) if file_index else None,
            order_tx_id=parse_text(data, "transferTxId"),
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
            signed=parse_signed(data, "consumerAddress", token),
            did=parse_text(data, "documentId"),
            service_id=parse_text(data, "serviceId"),
            order_tx_id=parse_text(data, "transferTxId"),
            file_index=parse_text(data, "fileIndex"),
            userdata=data.get("userdata"),
        )
