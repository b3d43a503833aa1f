"""Every operation that is served, by method and path. Describe a new one here, and its fields in `fields.py`."""

from collections.abc import Mapping

from provider.errors import (
    AssetError,
    ChainError,
    DecryptError,
    EncryptError,
    FileError,
    FileListTooLong,
    OrderError,
    PreconditionRefused,
    QuotaExhausted,
    RequestError,
    ServiceUnavailable,
    StoreError,
    TokenRefused,
    TooManyStreams,
    UnsupportedChain,
    UpstreamError,
)
from provider.handlers import rules
from provider.handlers.identity.token_params import EndTokenRequest
from provider.handlers.params import (
    DecryptRequest,
    DownloadRequest,
    FileInfoRequest,
    InitializeRequest,
    NonceRequest,
)
from provider.handlers.rules import Field
from provider.openapi.asset_operations import ASSET_OPERATIONS, POLICY_OPERATIONS
from provider.openapi.compute_operations import COMPUTE_OPERATIONS
from provider.openapi.fields import CONSUMER, TX
from provider.openapi.link_operations import LINK_OPERATIONS
from provider.openapi.model import GATE, SIGNED, Operation, Reply, Word
from provider.openapi.schemas import CONDITIONS, STREAM_HEADERS, VALIDATORS, closed, ref

# The request value builds these at each request, because "in the future" depends on the time.
_CREATE = (
    Field("address", (rules.required(),), bail=True),
    Field("expiration", (rules.required(), rules.integer()), bail=True),
    Field("nonce", (rules.required(), rules.numeric()), bail=True),
    Field("signature", (rules.signature(),)),
)
_CREATE_NODE = tuple(field for field in _CREATE if field.name != "expiration")
_TOKEN = Reply("The token.", ref("Token"), example={"token": "eyJhbGciOiJIUzI1NiJ9.eyJhZGRyZXNzIjoiMHgifQ.c2ln"})

TOKEN_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/services/createAuthToken"): Operation(
        id="createAuthToken",
        summary="Create an auth token",
        tag="identity",
        text="Signed message: `address`, `nonce`.",
        fields=_CREATE,
        also=("chainId",),
        via="query",
        replies=(_TOKEN,),
        errors=SIGNED,
    ),
    ("DELETE", "/api/services/deleteAuthToken"): Operation(
        id="deleteAuthToken",
        summary="Revoke an auth token",
        tag="identity",
        text="Signed message: `address`, `nonce`.",
        fields=EndTokenRequest.FIELDS,
        also=("chainId",),
        via="body",
        replies=(Reply("The token has been revoked.", closed({"success": {"const": "Token has been deactivated."}})),),
        errors=(*SIGNED, TokenRefused),
    ),
    ("POST", "/api/services/auth/token"): Operation(
        id="generateAuthToken",
        summary="Create an auth token (ocean-node's form)",
        tag="identity",
        fields=_CREATE_NODE,
        also=("validUntil", "chainId"),
        via="body",
        replies=(_TOKEN,),
        errors=SIGNED,
    ),
    ("POST", "/api/services/auth/token/invalidate"): Operation(
        id="invalidateAuthToken",
        summary="Revoke an auth token (ocean-node's form)",
        tag="identity",
        fields=EndTokenRequest.FIELDS,
        also=("chainId",),
        via="body",
        replies=(Reply("The token has been revoked.", closed({"success": {"const": True}})),),
        errors=(*SIGNED, TokenRefused),
    ),
}


TAGS = {
    "about": "This Provider: addresses, paths and API description.",
    "data": "Order and download datasets.",
    "publishing": "Encrypt for publishers; decrypt for authorized readers.",
    "identity": "Nonces and tokens.",
    "compute": "Compute-to-data.",
}
FEE = {
    "providerFeeAddress": CONSUMER,
    "providerFeeToken": "0x967da4048cD07aB37855c090aAF366e4ce1b9F48",
    "providerFeeAmount": "0",
    "providerData": "0x7b7d",
    "v": 27,
    "r": f"0x{'1a' * 32}",
    "s": f"0x{'2b' * 32}",
    "validUntil": 0,
}

ROOT = Operation(
    id="root",
    summary="Get addresses, chains and paths",
    tag="about",
    replies=(
        Reply("This Provider's addresses and chains; clients find all paths here.", ref("Root")),
        Reply("The same as a page, if `Accept` rates `text/html` above JSON.", {"type": "string"}, media="text/html"),
    ),
)
FILE_INFO = Operation(
    id="fileinfo",
    summary="Check that files are reachable",
    tag="data",
    text=(
        "Takes either an asset's `did` and `serviceId`, or a file object: `url` (with `url`, `method`, `headers`), "
        "`ipfs` (`hash`), `arweave` (`transactionId`), `graphql` (`url`, `query`), `smartcontract` (`address`, "
        "`chainId`, `abi`), `s3` (`s3Access`) or `ftp` (`url`). Files of named sources (type `source`) are "
        "described by `did` only; outside an asset their type is unknown. `/api/services/fileInfo` is the same."
    ),
    fields=FileInfoRequest.FIELDS,
    also=("checksum", "userdata", "method", "headers", "query", "address", "chainId", "abi", "s3Access"),
    words={
        "url": Word("Location of a file of type `url`, `graphql` or `ftp`.", example="https://files.example/data.csv"),
        "address": Word("Contract of a file of type `smartcontract`.", example=f"0x{'3d' * 20}"),
        "chainId": Word("Chain of a file of type `smartcontract`.", example=1),
        "transactionId": Word(
            "Transaction of a file's data on Arweave.", example="a4qJoQZa1poIv5guEzkfgZYSAD0uYm7Vw4zm_tCswVQ"
        ),
    },
    via="body",
    example={"type": "url", "url": "https://files.example/data.csv", "method": "GET"},
    replies=(
        Reply(
            "One item per file. An unreachable file is not an error.",
            ref("FileInfo"),
            example=[
                {
                    "index": 0,
                    "type": "url",
                    "valid": True,
                    "contentLength": "1024",
                    "contentType": "text/csv",
                    "filename": "data.csv",
                },
                {"index": 1, "type": "url", "valid": False},
            ],
        ),
    ),
    errors=(*GATE, AssetError, FileError, UnsupportedChain, ChainError, StoreError),
)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    **TOKEN_OPERATIONS,
    **COMPUTE_OPERATIONS,
    **LINK_OPERATIONS,
    **ASSET_OPERATIONS,
    **POLICY_OPERATIONS,
    ("GET", "/"): ROOT,
    ("HEAD", "/"): Operation(
        id="rootHead", summary="Liveness check", tag="about", replies=(Reply("Like GET, without body.", media=None),)
    ),
    ("GET", "/api/services/nonce"): Operation(
        id="nonce",
        summary="Get the last nonce of an address",
        tag="identity",
        fields=NonceRequest.FIELDS,
        via="query",
        replies=(
            Reply("As text, so that no digit is lost; `1` if there is none.", ref("Nonce"), example={"nonce": "1"}),
        ),
        errors=(StoreError,),
    ),
    ("POST", "/directCommand"): Operation(
        id="directCommand",
        summary="Run a command of ocean-node: status, nonce",
        tag="about",
        text="The command `nonce` takes an `address`.",
        fields=(rules.Field("command", (rules.one_of("status", "nonce"),)),),
        also=("address",),
        words={"address": Word("Address whose nonce to return.", example=CONSUMER)},
        via="body",
        example={"command": "status"},
        replies=(
            Reply("For `status`.", {"type": "object", "required": ["id", "address", "version"]}),
            Reply("For `nonce`.", ref("Nonce"), example={"nonce": "1"}),
        ),
        errors=(RequestError, StoreError),
    ),
    ("POST", "/api/services/encrypt"): Operation(
        id="encrypt",
        summary="Encrypt for this Provider",
        tag="publishing",
        text="Encrypts the body as sent, with the key of this chain (ECIES on secp256k1).",
        fields=(rules.Field("chainId", (rules.required(),)),),
        via="query_only",
        body="application/octet-stream",
        replies=(
            Reply(
                "The encrypted body: `0x` and hex.",
                {"type": "string", "pattern": "^0x([0-9a-f]{2})+$"},
                media="text/plain",
                status=201,
            ),
        ),
        errors=(RequestError, EncryptError, FileListTooLong, *GATE),
    ),
    ("POST", "/api/services/decrypt"): Operation(
        id="decrypt",
        summary="Decrypt a document",
        tag="publishing",
        text=(
            "Give `transactionId`, or `encryptedDocument`, `flags` and `documentHash`. Signed message: "
            "`transactionId` or else `dataNftAddress`, then `decrypterAddress`, `chainId`, `nonce`. A document that is "
            "stored elsewhere (`remote`) is fetched. Its encrypted credential is opened without `documentHash`."
        ),
        fields=DecryptRequest.FIELDS,
        via="body",
        token=True,
        replies=(Reply("The document.", {"type": "string"}, media="text/plain", status=201),),
        errors=(*SIGNED, TokenRefused, UnsupportedChain, DecryptError, FileError, UpstreamError, ChainError, *GATE),
        example={
            "decrypterAddress": CONSUMER,
            "chainId": 1,
            "dataNftAddress": f"0x{'3d' * 20}",
            "transactionId": TX,
            "nonce": "1767225600000",
            "signature": f"0x{'1f' * 64}1b",
        },
    ),
    ("POST", "/api/services/fileinfo"): FILE_INFO,
    ("POST", "/api/services/fileInfo"): FILE_INFO,
    ("GET", "/api/services/initialize"): Operation(
        id="initialize",
        summary="Get the terms of an order",
        tag="data",
        fields=InitializeRequest.FIELDS,
        also=("userdata",),
        via="query",
        replies=(
            Reply(
                "The datatoken and the provider fee to order with.",
                ref("OrderTerms"),
                example={"datatoken": CONSUMER, "nonce": None, "providerFee": FEE},
            ),
            Reply("`transferTxId` is still a valid order.", ref("ValidOrder"), example={"validOrder": TX}),
        ),
        errors=(*GATE, AssetError, FileError, UpstreamError, UnsupportedChain, ChainError, StoreError),
    ),
    ("GET", "/api/services/download"): Operation(
        id="download",
        summary="Download a file",
        tag="data",
        text=(
            "Signed message: `documentId`, `nonce`. The bytes are those of the file's host. A body that ends "
            "before `Content-Length`, or a chunked body without its end, is incomplete."
        ),
        fields=DownloadRequest.FIELDS,
        also=("userdata",),
        via="query",
        headers=CONDITIONS,
        token=True,
        replies=(
            Reply("The file.", media="*/*", headers=STREAM_HEADERS),
            Reply("The range.", media="*/*", headers=(*STREAM_HEADERS, "Content-Range"), status=206),
            Reply("The client's copy is still valid.", media=None, headers=VALIDATORS, status=304),
            Reply("The range does not exist.", media=None, headers=("Content-Range",), status=416),
        ),
        errors=(
            *SIGNED,
            TokenRefused,
            *GATE,
            AssetError,
            OrderError,
            FileError,
            PreconditionRefused,
            UpstreamError,
            UnsupportedChain,
            TooManyStreams,
            QuotaExhausted,
            ServiceUnavailable,
            ChainError,
        ),
    ),
    ("GET", "/spec"): Operation(
        id="spec",
        summary="Get this API description",
        tag="about",
        replies=(
            Reply("OpenAPI 3.1.", {"type": "object", "required": ["openapi", "info", "paths"]}, headers=("ETag",)),
            Reply("The client's copy is current.", media=None, headers=("ETag",), status=304),
        ),
    ),
    ("GET", "/api/docs"): Operation(
        id="docsRedirect",
        summary="Redirect to the page below",
        tag="about",
        replies=(Reply("The same path with a slash.", media=None, headers=("Location",), status=308),),
    ),
    ("GET", "/api/docs/"): Operation(
        id="docs",
        summary="Read and try this API in a browser",
        tag="about",
        replies=(Reply("Swagger UI.", {"type": "string"}, media="text/html"),),
    ),
}
