"""What this service depends on: origins, chains, the metadata store, its own durable state."""

from provider.errors.base import ProviderError


class UpstreamError(ProviderError):
    """Base of failures of the origin, before its body reached the consumer."""

    # wire: the old Provider tries the URL before it streams and says so with a 400 [K26]; the code tells more.
    code = "upstream_failed"
    http_status = 400
    text = "Asset URL not found, not available or invalid."


class UpstreamUnreachable(UpstreamError):
    """No connection, or it was lost before the answer's head was complete."""

    code = "upstream_unreachable"


class UpstreamTimedOut(UpstreamError):
    """Connect, first byte or idle limit passed."""

    code = "upstream_timed_out"


class UnsafeAddress(UpstreamError):
    """The URL leads to an address that may not be connected to, or cannot be resolved."""

    code = "unsafe_address"
    text = "Unsafe url <URL stripped for security reasons>"


class UpstreamRefused(UpstreamError):
    """The origin answered, but not with a file (its status is neither 200 nor, for a range, 206 or 416)."""

    code = "upstream_refused"


class UpstreamTruncated(UpstreamError):
    """The body ended before its announced end. After headers were sent it cannot become a reply."""

    code = "upstream_truncated"


class ChainError(ProviderError):
    """Base of failures of the chain access."""

    code = "chain_failed"
    http_status = 503
    text = "The blockchain node gave no usable answer, please try again later."
    retry_after_seconds = 5


class ChainUnavailable(ChainError):
    """No configured endpoint of the chain answered; never to be taken for "no order"."""

    code = "chain_unavailable"
    text = "The blockchain node cannot be reached, please try again later."


class ServiceUnavailable(ProviderError):
    """A service that the operator configured (metadata store, RBAC, policy, operator service) gave no answer."""

    code = "service_unavailable"
    http_status = 503
    text = "A service that this request needs is unavailable."
    retry_after_seconds = 5


class AnswerTooLong(ServiceUnavailable):
    """Such a service answers with more than the limit in settings."""

    code = "service_answer_too_long"


class MetadataStoreUnavailable(ServiceUnavailable):
    """The metadata store did not answer; never to be taken for "no such asset"."""

    code = "metadata_store_unavailable"
    http_status = 503
    text = "The metadata store cannot be reached, please try again later."
    retry_after_seconds = 5


class StoreError(ProviderError):
    """Our own durable state cannot be read or written."""

    code = "store_unavailable"
    http_status = 503
    text = "The provider's storage is not available, please try again later."
    retry_after_seconds = 5
