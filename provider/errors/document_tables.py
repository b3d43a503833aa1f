"""Cause and remedy of the codes that are no error classes: reasons of refused compute requests, ends of streams."""

from collections.abc import Mapping

_CONTAINER = "Give the algorithm's container `entrypoint`, `image` and a `checksum` that begins with `sha256:`."
_PUBLISHER_TRUSTS = (
    "The dataset's publisher adds the algorithm to the service's trusted algorithms and publishes again."
)
_CHECKSUM = "The dataset's publisher renews the checksums of the trusted algorithm, or the algorithm is restored."

# Keys are COMPUTE_REASONS of `compute.py`, sorted.
REASONS: Mapping[str, tuple[str, str]] = {
    "algorithm_container_checksum_mismatch": ("The trusted algorithm's container has changed.", _CHECKSUM),
    "algorithm_file_checksum_mismatch": ("The trusted algorithm's files have changed.", _CHECKSUM),
    "checksum_prefix": ("The container's checksum does not begin with `sha256:`.", _CONTAINER),
    "compute_services_not_in_same_provider": (
        "A compute service has files that this Provider cannot decrypt.",
        "Send the job to the Provider of that service.",
    ),
    "did_not_found": ("No DDO behind the DID.", "Check the DID; a new asset needs a moment."),
    "fees_not_paid": (
        "No order in the request has paid the provider fee of this environment up to the end of the job.",
        "Call initializeCompute, and order or reuse with the fee it returns.",
    ),
    "file_unavailable": (
        "The algorithm's DDO, service or files cannot be read, or are too large for checksums.",
        "Check the algorithm with fileinfo; the operator may raise `MAX_CHECKSUM_LENGTH`.",
    ),
    "in_use_or_not_on_chain": (
        "The algorithm's order is not valid.",
        "Order the algorithm, and send the transaction once it is mined.",
    ),
    "invalid": ("`additionalDatasets` is no list, or `output` no JSON.", "Correct the part that is named."),
    "main_service_compute": (
        "The first dataset's service is not of type compute.",
        "Put a dataset with a compute service first.",
    ),
    "meta_oneof_url_rawcode_remote": (
        "A raw algorithm has neither `url` nor `rawcode` nor `remote`.",
        "Give one of them.",
    ),
    "missing": ("A part of the request is empty.", "Give the part that is named."),
    "missing_entrypoint_image_checksum": ("The container lacks one of these.", _CONTAINER),
    "missing_meta_documentId": (
        "The algorithm has neither `documentId` nor `meta`.",
        "Give one of them.",
    ),
    "no_publisherTrustedAlgorithms": (
        "The dataset's list of trusted algorithms has an entry without DID.",
        "The dataset's publisher corrects the list and publishes again.",
    ),
    "no_raw_algo_allowed": (
        "The dataset admits published algorithms only.",
        "Publish the algorithm, or ask the dataset's publisher to allow raw ones.",
    ),
    "not_algo": ("The asset given as algorithm is something else.", "Give the DID of an algorithm."),
    "not_found": ("The asset has no service with this id.", "Use the `id` of one of the services in the DDO."),
    "not_trusted_algo": ("The dataset does not trust this algorithm.", _PUBLISHER_TRUSTS),
    "not_trusted_algo_publisher": ("The dataset does not trust the algorithm's publisher.", _PUBLISHER_TRUSTS),
    "order_invalid": ("The dataset's order is not valid.", "Order the dataset, or reuse the order with a new fee."),
    "other_provider_failed": (
        "The Provider of another dataset gave no fee for it.",
        "Try again later, or leave that dataset out.",
    ),
    "service_not_access_compute": (
        "The service is neither of type access nor compute.",
        "Use a service of one of these types.",
    ),
}

# Outcomes of `streaming/relay.py` other than "complete".
STREAM_ENDS: Mapping[str, tuple[str, str]] = {
    "upstream_truncated": (
        "The origin ended before the length it had announced and could not be resumed.",
        "Ask again with `Range` from where the bytes ended.",
    ),
    "upstream_timed_out": (
        "The origin sent nothing for as long as the idle limit.",
        "Ask again with `Range`, or let the operator raise the limits under `[upstream]`.",
    ),
    "consumer_gone": (
        "The consumer closed its connection; status 499 in the log when that was before the answer began.",
        "None is needed. If consumers complain, look at the proxies and limits in front of the server.",
    ),
    "consumer_stalled": (
        "The consumer took nothing for as long as the idle limit.",
        "Read faster, or ask again with `Range`.",
    ),
}
