"""The operations of a metadata store that this server answers."""

from collections.abc import Mapping
from dataclasses import replace

from provider.errors import (
    AssetError,
    AssetMalformed,
    ChainError,
    DdoNotFound,
    DocumentSealed,
    FileError,
    PublisherNotAuthorized,
    ServiceUnavailable,
    StoreError,
    TokenRefused,
    UnsupportedChain,
    UpstreamError,
    ValidationFailed,
)
from provider.handlers.assets.ddo import DDO_PREFIX, METADATA_PREFIX
from provider.handlers.assets.params import ValidateRequest
from provider.handlers.identity.policy_session import PolicySessionRequest
from provider.openapi.fields import CONSUMER, DID, SIGNATURE
from provider.openapi.model import GATE, SIGNED, Operation, Reply
from provider.openapi.schemas import ref

_DDO = Operation(
    id="ddo",
    summary="Get the DDO of an asset",
    tag="data",
    text=(
        "As Aquarius and ocean-node answer it, from the chain or the metadata store. Deprecated and revoked assets "
        "have a short form with their state. There is no search."
    ),
    replies=(Reply("The DDO, with what an indexer knows of it.", {"type": "object", "required": ["id", "version"]}),),
    errors=(
        DdoNotFound,
        DocumentSealed,
        AssetMalformed,
        FileError,
        UpstreamError,
        UnsupportedChain,
        ServiceUnavailable,
        ChainError,
        StoreError,
    ),
)

POLICY_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/api/services/initializePSVerification"): Operation(
        id="initializePSVerification",
        summary="Begin a session with the policy server",
        tag="identity",
        text=(
            "Signed message: `consumerAddress`, `nonce`, `PolicyServerInitialize`. The policy server's answer is "
            "passed on. The session's id then goes with a download, in `policyServer`. Needs a policy server."
        ),
        fields=PolicySessionRequest.FIELDS,
        via="body",
        token=True,
        replies=(Reply("The answer of the policy server.", {}),),
        errors=(*SIGNED, TokenRefused, *GATE, AssetError, UpstreamError, FileError),
        example={
            "documentId": DID,
            "serviceId": "1",
            "consumerAddress": CONSUMER,
            "policyServer": {"sessionId": ""},
            "nonce": "1767225600000",
            "signature": SIGNATURE,
        },
    ),
}

ASSET_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", DDO_PREFIX + "{did}"): _DDO,
    ("GET", METADATA_PREFIX + "{did}"): replace(_DDO, id="metadata", summary="Get the DDO of an asset (other path)"),
    ("POST", DDO_PREFIX + "validate"): Operation(
        id="validateDdo",
        summary="Check a DDO before publishing it",
        tag="publishing",
        text=(
            "Signed message: `publisherAddress`, `nonce`, `validateDDO`. The hash is that of the text of `ddo`, as it "
            "stands in the body. The proof is one that `setMetaData` takes. `publisherAddress`, `nonce` and "
            "`signature` may be left out together. Then the DDO may also be the whole body, as older clients send it."
        ),
        fields=ValidateRequest.FIELDS,
        via="body_only",
        token=True,
        replies=(Reply("The DDO is well formed.", ref("DdoProof")),),
        errors=(*SIGNED, TokenRefused, ValidationFailed, PublisherNotAuthorized, ChainError),
        example={
            "ddo": {"id": DID, "version": "4.7.0"},
            "publisherAddress": CONSUMER,
            "nonce": "1767225600000",
            "signature": SIGNATURE,
        },
    ),
}
