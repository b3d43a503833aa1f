"""Compute-to-data: refusals before a job starts, and failures of the operator service."""

from collections.abc import Mapping

from provider.errors.base import Fault, ProviderError
from provider.errors.outside import ServiceUnavailable

_CONTAINER = "Set the algorithm's container `entrypoint`, `image` and a `checksum` that begins with `sha256:`."
_PUBLISHER_TRUSTS = "Publisher of the dataset: add the algorithm to the service's trusted algorithms and publish again."
_CHECKSUM = "Publisher of the dataset: renew the checksums of the trusted algorithm. Or restore the algorithm."

# The reasons of `provider-api.md` section 10.2, and one of our own: another Provider quotes no fee. Sorted.
COMPUTE_REASONS: Mapping[str, tuple[str, str]] = {
    "algorithm_container_checksum_mismatch": ("The trusted algorithm's container has changed.", _CHECKSUM),
    "algorithm_file_checksum_mismatch": ("The trusted algorithm's files have changed.", _CHECKSUM),
    "checksum_prefix": ("The container's checksum does not begin with `sha256:`.", _CONTAINER),
    "compute_services_not_in_same_provider": (
        "A compute service has files that this Provider cannot decrypt.",
        "Send the job to the Provider of that service.",
    ),
    "did_not_found": ("There is no DDO for the DID.", "Check the DID. It takes a moment until a new asset is known."),
    "fees_not_paid": (
        "No order in the request has paid the provider fee of this environment up to the end of the job.",
        "Call initializeCompute, and order or reuse the order with the fee that it returns.",
    ),
    "file_unavailable": (
        "The algorithm's DDO, service or files cannot be read, or are too large for checksums.",
        "Check the algorithm with fileinfo. Operator: `MAX_CHECKSUM_LENGTH` is the limit for checksums.",
    ),
    "in_use_or_not_on_chain": (
        "The algorithm's order is not valid.",
        "Order the algorithm, and send the transaction after it is mined.",
    ),
    "invalid": (
        "`additionalDatasets` is not a list, or `output` is not JSON.",
        "Correct the part that the answer names.",
    ),
    "main_service_compute": (
        "The first dataset's service is not of type compute.",
        "Put a dataset with a compute service first.",
    ),
    "meta_oneof_url_rawcode_remote": (
        "A raw algorithm has neither `url` nor `rawcode` nor `remote`.",
        "Send one of them.",
    ),
    "missing": ("A part of the request is empty.", "Send the part that the answer names."),
    "missing_entrypoint_image_checksum": ("The container lacks `entrypoint`, `image` or `checksum`.", _CONTAINER),
    "missing_meta_documentId": (
        "The algorithm has neither `documentId` nor `meta`.",
        "Send one of them.",
    ),
    "no_publisherTrustedAlgorithms": (
        "The dataset's list of trusted algorithms has an entry without a DID.",
        "Publisher of the dataset: correct the list and publish again.",
    ),
    "no_raw_algo_allowed": (
        "The dataset accepts published algorithms only.",
        "Publish the algorithm, or ask the dataset's publisher to allow raw ones.",
    ),
    "not_algo": ("The asset that was sent as algorithm is not an algorithm.", "Send the DID of an algorithm."),
    "not_found": ("The asset has no service with this id.", "Use the `id` of one of the services in the DDO."),
    "not_trusted_algo": ("The dataset does not trust this algorithm.", _PUBLISHER_TRUSTS),
    "not_trusted_algo_publisher": ("The dataset does not trust the algorithm's publisher.", _PUBLISHER_TRUSTS),
    "order_invalid": ("The dataset's order is not valid.", "Order the dataset, or reuse the order with a new fee."),
    "other_provider_failed": (
        "The Provider of this dataset quoted no fee for it.",
        "Try again later, or leave the dataset out.",
    ),
    "service_not_access_compute": (
        "The type of the service is neither access nor compute.",
        "Use a service of one of these types.",
    ),
}
"""Cause and remedy of each reason."""
ORIGIN_REASONS = frozenset({"file_unavailable", "other_provider_failed"})
"""Reasons for which the request is not at fault."""


class ComputeError(ProviderError):
    """Base of refusals of compute requests."""

    code = "compute_refused"
    fault: Fault = "consumer"
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
        if reason in ORIGIN_REASONS:
            self.fault = "origin"

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


class ComputeNotOffered(ComputeError):
    """A client of ocean-node wants a free job, or the log of a running one. An operator service has neither."""

    code = "compute_not_offered"
    remedy = "Start jobs with initializeCompute and compute. For free jobs and live logs, use an ocean-node."
    text = "Jobs run at an operator service here, which has no free jobs and no logs of running jobs."


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
