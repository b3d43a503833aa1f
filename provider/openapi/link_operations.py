"""The operations of links."""

from collections.abc import Mapping

from provider.errors import (
    AssetError,
    ChainError,
    FileError,
    LinkError,
    LinkTooLong,
    OrderError,
    PreconditionRefused,
    QuotaExhausted,
    ServiceUnavailable,
    StoreError,
    TokenRefused,
    TooManyStreams,
    UnsupportedChain,
    UpstreamError,
)
from provider.handlers.links.params import LinksRequest, RevokeLinksRequest
from provider.openapi.fields import DID
from provider.openapi.model import GATE, SIGNED, Operation, Reply, Word
from provider.openapi.schemas import CONDITIONS, STREAM_HEADERS, VALIDATORS, closed, ref

_PATH = "/d/{token}/{name}"
_WORDS = {
    "token": Word("What the link opens, sealed.", example="1c2VhbGVk"),
    "name": Word("Name of the file.", example="trips.parquet"),
}
_EXAMPLE = {
    "documentId": DID,
    "expires": "2026-12-01T12:00:00Z",
    "files": [
        {
            "index": 0,
            "name": "trips.parquet",
            "url": "https://provider.example/d/1c2VhbGVk/trips.parquet",
            "length": 1234,
            "contentType": "application/vnd.apache.parquet",
            "etag": '"33a64df5"',
            "ranges": True,
        }
    ],
}
_ERRORS = (
    LinkError,
    *GATE,
    AssetError,
    OrderError,
    FileError,
    UpstreamError,
    UnsupportedChain,
    ServiceUnavailable,
    ChainError,
    StoreError,
)


def _link(operation_id: str, summary: str, *, streams: bool = False) -> Operation:
    media = "*/*" if streams else None
    replies = [
        Reply("The file.", media=media, headers=STREAM_HEADERS),
        Reply("The client's copy is still valid.", media=None, headers=VALIDATORS, status=304),
    ]
    if streams:
        replies += [
            Reply("The range.", media="*/*", headers=(*STREAM_HEADERS, "Content-Range"), status=206),
            Reply("The range does not exist.", media=None, headers=("Content-Range",), status=416),
        ]
    return Operation(
        id=operation_id,
        summary=summary,
        tag="data",
        text="No signature: the URL is the right. Any number of requests at a time, with any ranges.",
        words=_WORDS,
        headers=CONDITIONS,
        replies=tuple(replies),
        errors=(*_ERRORS, PreconditionRefused, TooManyStreams, QuotaExhausted),
    )


LINK_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/api/services/links"): Operation(
        id="createLinks",
        summary="Get links for bought files",
        tag="data",
        text=(
            "Signed message: `consumerAddress`, `nonce`, `createLinks`. Give `documentId`, `serviceId` and "
            "`transferTxId` of an order, or `jobId` and `index` of a result of a compute job. Without `fileIndex`, "
            "every file of the service is linked. `Accept` chooses between JSON, `application/metalink4+xml` and "
            "`text/uri-list`. Anyone with the URL of a link can read the file until the link ends."
        ),
        fields=LinksRequest.FIELDS,
        also=("userdata",),
        via="body",
        token=True,
        replies=(
            Reply("One URL for each file.", ref("Links"), example=_EXAMPLE),
            Reply("The same as Metalink 4 (RFC 5854).", {"type": "string"}, media="application/metalink4+xml"),
            Reply("The URLs, one on each line.", {"type": "string"}, media="text/uri-list"),
        ),
        errors=(
            *SIGNED,
            TokenRefused,
            *GATE,
            AssetError,
            OrderError,
            FileError,
            LinkTooLong,
            UnsupportedChain,
            ServiceUnavailable,
            ChainError,
        ),
    ),
    ("DELETE", "/api/services/links"): Operation(
        id="revokeLinks",
        summary="End links",
        tag="data",
        text=(
            "Signed message: `consumerAddress`, `nonce`, `revokeLinks`. Ends all links that the consumer has made so "
            "far; with `transferTxId`, those of this order."
        ),
        fields=RevokeLinksRequest.FIELDS,
        via="body",
        replies=(Reply("The links have ended.", closed({"success": {"const": "Links have been revoked."}})),),
        errors=(*SIGNED, OrderError),
    ),
    ("GET", _PATH): _link("link", "Read a file over its link", streams=True),
    ("HEAD", _PATH): _link("linkHead", "Get the header fields of a file over its link"),
    ("POST", _PATH): Operation(
        id="renewLink",
        summary="Get a fresh link from a link",
        tag="data",
        text="The fresh link begins now and lives as long as the first one was meant to. The order must still hold.",
        words=_WORDS,
        replies=(Reply("One URL.", ref("Links"), example=_EXAMPLE),),
        errors=_ERRORS,
    ),
}
