"""Cause and remedy of the codes without an error class: reasons of refused compute requests, ends of streams."""

from collections.abc import Mapping

_CONTAINER = "Set the algorithm's container `entrypoint`, `image` and a `checksum` that begins with `sha256:`."
_PUBLISHER_TRUSTS = "Publisher of the dataset: add the algorithm to the service's trusted algorithms and publish again."
_CHECKSUM = "Publisher of the dataset: renew the checksums of the trusted algorithm. Or restore the algorithm."

# Keys are COMPUTE_REASONS of `compute.py`, sorted.
REASONS: Mapping[str, tuple[str, str]] = {
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

# Outcomes of `streaming/relay.py` except "complete".
STREAM_ENDS: Mapping[str, tuple[str, str]] = {
    "upstream_truncated": (
        "The origin's body ended before its announced length, and could not be resumed.",
        "Request the rest with `Range`, from where the bytes ended.",
    ),
    "upstream_timed_out": (
        "The origin sent nothing until the idle limit.",
        "Request the rest with `Range`. Operator: the limits are under `[upstream]`.",
    ),
    "consumer_gone": (
        "The consumer closed its connection. The log has status 499 if the answer had not begun.",
        "None needed. Operator: if consumers complain, check the proxies in front of the server and their limits.",
    ),
    "consumer_stalled": (
        "The consumer read nothing until the idle limit.",
        "Read faster, or request the rest with `Range`.",
    ),
}
