"""The operations of compute-to-data."""

from collections.abc import Mapping

from provider.errors import (
    AssetError,
    ChainError,
    ComputeError,
    ComputeNotOffered,
    ContainerInvalid,
    OperatorUnavailable,
    PreconditionRefused,
    RbacRefused,
    ServiceUnavailable,
    StoreError,
    TooManyStreams,
    UnsupportedChain,
)
from provider.handlers import rules
from provider.handlers.compute.params import (
    ChangeComputeRequest,
    ComputeResultRequest,
    ComputeStatusRequest,
    InitializeComputeRequest,
    StartComputeRequest,
)
from provider.handlers.rules import Field
from provider.openapi.fields import CONSUMER, DID, SIGNATURE, TEXT, TX
from provider.openapi.model import SIGNED, Operation, Reply, Word
from provider.openapi.schemas import CONDITIONS, STREAM_HEADERS, VALIDATORS, ref

_OPERATOR = "the operator service"
_CHECKSUM = f"sha256:{'6f' * 32}"
_ITEM = {"documentId": DID, "serviceId": "1", "transferTxId": TX}
_JOBS = Reply("The jobs, as reported by the operator service.", {})
_COMPUTE = "/api/services/compute"


def _change(operation_id: str, summary: str) -> Operation:
    return Operation(
        id=operation_id,
        summary=summary,
        tag="compute",
        text="Requires `jobId` or `documentId`. Signed message: `consumerAddress`, `jobId`, `documentId`, `nonce`.",
        fields=ChangeComputeRequest.FIELDS,
        also=("jobId", "documentId"),
        via="query",
        replies=(_JOBS,),
        errors=(*SIGNED, ComputeError, OperatorUnavailable),
        passes_on=_OPERATOR,
    )


def _not_offered(operation_id: str, summary: str) -> Operation:
    return Operation(
        id=operation_id,
        summary=summary,
        tag="compute",
        text="For clients of ocean-node. An operator service has neither free jobs nor logs of running jobs.",
        replies=(),
        errors=(ComputeNotOffered,),
    )


COMPUTE_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/services/computeEnvironments"): Operation(
        id="computeEnvironments",
        summary="List compute environments",
        tag="compute",
        replies=(
            Reply(
                "Environments by chain id.",
                {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "object"}}},
            ),
        ),
        errors=(OperatorUnavailable,),
    ),
    ("POST", "/api/services/initializeCompute"): Operation(
        id="initializeCompute",
        summary="Get the orders that a job needs",
        tag="compute",
        text="ocean.js 8 sends `environment` and `maxJobDuration` in place of `compute`.",
        fields=InitializeComputeRequest.FIELDS,
        also=("environment", "maxJobDuration"),
        via="body_only",
        example={
            "datasets": [{"documentId": DID, "serviceId": "1"}],
            "algorithm": {"documentId": DID, "serviceId": "1"},
            "compute": {"env": "ocean-compute", "validUntil": 1924992000},
            "consumerAddress": CONSUMER,
        },
        replies=(Reply("For each part: what to order, what to renew, or that nothing is due.", ref("ComputeTerms")),),
        errors=(ComputeError, AssetError, UnsupportedChain, RbacRefused, ServiceUnavailable, ChainError, StoreError),
    ),
    ("POST", "/api/services/freeCompute"): _not_offered("freeCompute", "Start a free job: not offered"),
    ("GET", "/api/services/computeStreamableLogs"): _not_offered("computeStreamableLogs", "Follow a job: not offered"),
    ("POST", _COMPUTE): Operation(
        id="computeStart",
        summary="Start a job",
        tag="compute",
        text="Signed message: `consumerAddress`, `dataset.documentId`, `nonce`.",
        fields=StartComputeRequest.FIELDS,
        also=("additionalDatasets", "datasets", "environment", "output"),
        via="body",
        example={
            "dataset": _ITEM,
            "algorithm": _ITEM,
            "environment": "ocean-compute",
            "consumerAddress": CONSUMER,
            "nonce": "1767225600000",
            "signature": SIGNATURE,
        },
        replies=(_JOBS,),
        errors=(*SIGNED, ComputeError, AssetError, RbacRefused, ServiceUnavailable),
        passes_on=_OPERATOR,
    ),
    ("GET", _COMPUTE): Operation(
        id="computeStatus",
        summary="Get the status of jobs",
        tag="compute",
        fields=ComputeStatusRequest.FIELDS,
        also=("jobId", "documentId"),
        via="query",
        replies=(_JOBS,),
        errors=(OperatorUnavailable,),
        passes_on=_OPERATOR,
    ),
    ("PUT", _COMPUTE): _change("computeStop", "Stop a job"),
    ("DELETE", _COMPUTE): _change("computeDelete", "Delete a job"),
    ("GET", "/api/services/computeResult"): Operation(
        id="computeResult",
        summary="Download a job's result",
        tag="compute",
        text="Signed message: `consumerAddress`, `jobId`, `index`, `nonce`.",
        fields=ComputeResultRequest.FIELDS,
        via="query",
        headers=CONDITIONS,
        replies=(
            Reply("The result.", media="*/*", headers=STREAM_HEADERS),
            Reply("The range.", media="*/*", headers=(*STREAM_HEADERS, "Content-Range"), status=206),
            Reply("The client's copy is still valid.", media=None, headers=VALIDATORS, status=304),
            Reply("The range does not exist.", media=None, headers=("Content-Range",), status=416),
        ),
        errors=(*SIGNED, TooManyStreams, PreconditionRefused, OperatorUnavailable),
        passes_on=_OPERATOR,
    ),
    ("POST", "/api/services/validateContainer"): Operation(
        id="validateContainer",
        summary="Check a container for compute",
        tag="compute",
        fields=(
            Field("entrypoint", (rules.required(),)),
            Field("image", (rules.required(),)),
            Field("checksum", (rules.required(), rules.starts_with("sha256:"))),
        ),
        via="body_only",
        words={"checksum": Word("Checksum of the image.", TEXT, _CHECKSUM)},
        example={"entrypoint": "node $ALGO", "image": "node", "tag": "latest", "checksum": _CHECKSUM},
        replies=(Reply("The container, unchanged.", {"type": "object"}),),
        errors=(ContainerInvalid,),
    ),
}
