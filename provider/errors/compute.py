"""Compute-to-data: refusals before a job starts, and failures of the operator service."""

from collections.abc import Mapping

from provider.errors.base import ProviderError
from provider.errors.outside import ServiceUnavailable

# The reasons of `provider-api.md` section 10.2, and one of our own: another Provider quotes no fee.
COMPUTE_REASONS = frozenset(
    (
        "algorithm_container_checksum_mismatch",
        "algorithm_file_checksum_mismatch",
        "checksum_prefix",
        "compute_services_not_in_same_provider",
        "did_not_found",
        "fees_not_paid",
        "file_unavailable",
        "in_use_or_not_on_chain",
        "invalid",
        "main_service_compute",
        "meta_oneof_url_rawcode_remote",
        "missing",
        "missing_entrypoint_image_checksum",
        "missing_meta_documentId",
        "no_publisherTrustedAlgorithms",
        "no_raw_algo_allowed",
        "not_algo",
        "not_found",
        "not_trusted_algo",
        "not_trusted_algo_publisher",
        "order_invalid",
        "other_provider_failed",
        "service_not_access_compute",
    )
)


class ComputeError(ProviderError):
    """Base of refusals of compute requests."""

    code = "compute_refused"
    remedy = "Read resource and reason in the answer: they name a part of the request and the rule that it breaks."
    http_status = 400


class ComputeRefused(ComputeError):
    """A part of the request is refused; the body is `{"error": {resource: reason}}`.

    `reason` is one of COMPUTE_REASONS, or the text that denies access to an asset, which has the code
    `compute_access_denied`.
    """

    # An instance has its reason in it.
    code = "compute_<reason>"
    remedy = "Look up the reason in the table below."
    shape = "compute"
    text = ""

    def __init__(self, resource: str, reason: str, *, detail: str | None = None) -> None:
        super().__init__(f"{resource}: {reason}", detail=f"{resource}: {detail}" if detail else resource)
        self.resource = resource
        self.reason = reason
        self.code = f"compute_{reason}" if reason in COMPUTE_REASONS else "compute_access_denied"

    def body(self) -> Mapping[str, object]:
        """Body of a refused compute request (`provider-api.md` section 1, shape 3)."""
        return {"error": {self.resource: self.reason}}


class EnvironmentUnknown(ComputeError):
    """No compute environment has this id."""

    code = "compute_environment_unknown"
    remedy = "Use an `id` from computeEnvironments."
    text = "Compute environment does not exist"


class ComputeEndInvalid(ComputeError):
    """`validUntil` is not a time in the future."""

    code = "compute_end_invalid"
    remedy = "Send `validUntil` as unix seconds in the future."
    text = "The validUntil value is not correct."


class NotAnAlgorithm(ComputeError):
    """The DID that initializeCompute got as algorithm belongs to another kind of asset."""

    code = "compute_not_algo"
    remedy = "Send the DID of an asset whose `metadata.type` is `algorithm`."
    text = "DID is not a valid algorithm"


class JobIdMissing(ComputeError):
    """The request names no job. A stop or delete without one would mean every job of the consumer [K44]."""

    code = "compute_job_missing"
    shape = "validation"
    remedy = "Send the `jobId` that the start of the job returned."
    text = "The jobId field is required."

    def body(self) -> Mapping[str, object]:
        """Validation body."""
        return {"errors": {"jobId": [self.text]}, "message": "Validation error", "success": False}


class OperatorUnavailable(ServiceUnavailable):
    """The operator service gave no answer, or one that cannot be passed on."""

    code = "operator_unavailable"
    remedy = "Try again later. Operator: check `OPERATOR_SERVICE_URL` and the service behind it."
    text = "The compute service cannot be reached, please try again later."


class EnvironmentsUnavailable(OperatorUnavailable):
    """The operator service named no environments for any chain."""

    code = "compute_environments_unavailable"
    remedy = "Try again later. Operator: check `OPERATOR_SERVICE_URL` and the service behind it."
