"""What this service depends on: origins, chains, the metadata store, its own durable state."""

from provider.errors.base import ProviderError


class UpstreamError(ProviderError):
    """Base of failures of the origin, before its body reached the consumer."""

    # wire: the old Provider tries the URL before it streams and says so with a 400 [K26]; the code tells more.
    code = "upstream_failed"
    remedy = "Try again later; if it lasts, the publisher looks after the file's host."
    http_status = 400
    text = "Asset URL not found, not available or invalid."


class UpstreamUnreachable(UpstreamError):
    """No connection, or it was lost before the answer's head was complete."""

    code = "upstream_unreachable"
    remedy = "Try again later; if it lasts, the publisher looks after the file's host."


class UpstreamTimedOut(UpstreamError):
    """Connect, first byte or idle limit passed."""

    code = "upstream_timed_out"
    remedy = "Try again later, or let the operator raise the limits under `[upstream]`."


class UnsafeAddress(UpstreamError):
    """The URL leads to an address that may not be connected to, or cannot be resolved."""

    code = "unsafe_address"
    remedy = "The publisher moves the file to a public host; for hosts inside, the operator sets `ALLOW_NON_PUBLIC_IP`."
    text = "Unsafe url <URL stripped for security reasons>"


class UpstreamRefused(UpstreamError):
    """The origin answered, but not with a file (its status is neither 200 nor, for a range, 206 or 416)."""

    code = "upstream_refused"
    remedy = "The publisher checks that the file's URL, with its headers, answers 200."


class UpstreamBusy(UpstreamError):
    """The origin answered 408, 425, 429 or 503: not now."""

    code = "upstream_busy"
    remedy = "Try again as `Retry-After` says; if it lasts, the publisher raises what the file's host allows."
    retry_after_seconds = 5


class UpstreamTruncated(UpstreamError):
    """The body ended before its announced end. After headers were sent it cannot become a reply."""

    code = "upstream_truncated"
    remedy = "Ask again with `Range` from where the bytes ended."


class UpstreamTooShort(UpstreamTruncated):
    """The origin says that the body was whole, but it was shorter than announced. Asking for the rest gives nothing."""

    code = "upstream_too_short"
    remedy = "The publisher looks at the file's host: its listing says more bytes than it sends."


class ContractCallFailed(UpstreamError):
    """The contract refused the call, or answered with what its ABI does not tell."""

    code = "contract_call_failed"
    remedy = "Check the values in `userdata`; if they are right, the publisher corrects address, chain or ABI."
    text = "Failed to call contract"


class ChainError(ProviderError):
    """Base of failures of the chain access."""

    code = "chain_failed"
    remedy = "Try again as `Retry-After` says; the operator looks at the node behind `NETWORK_URL`."
    http_status = 503
    text = "The blockchain node gave no usable answer, please try again later."
    retry_after_seconds = 5


class ChainUnavailable(ChainError):
    """No configured endpoint of the chain answered; never to be taken for "no order"."""

    code = "chain_unavailable"
    remedy = "Try again as `Retry-After` says; the operator checks `NETWORK_URL` or adds a second endpoint."
    text = "The blockchain node cannot be reached, please try again later."


class ServiceUnavailable(ProviderError):
    """A service that the operator configured (metadata store, RBAC, policy, operator service) gave no answer."""

    code = "service_unavailable"
    remedy = "Try again as `Retry-After` says; the operator runs `provider check`."
    http_status = 503
    text = "A service that this request needs is unavailable."
    retry_after_seconds: int | None = 5


class GatewayUnset(ServiceUnavailable):
    """The operator has turned this kind of gateway off."""

    code = "gateway_unset"
    remedy = "Let the operator set `IPFS_GATEWAY` or `ARWEAVE_GATEWAY`, whichever the text names."
    text = "No gateway defined."
    # It does not pass by itself.
    retry_after_seconds = None


class AnswerTooLong(ServiceUnavailable):
    """Such a service answers with more than the limit in settings."""

    code = "service_answer_too_long"
    remedy = "The operator checks that the configured URL leads to the right service."


class MetadataStoreUnavailable(ServiceUnavailable):
    """The metadata store did not answer; never to be taken for "no such asset"."""

    code = "metadata_store_unavailable"
    remedy = "Try again as `Retry-After` says; the operator checks `AQUARIUS_URL`."
    http_status = 503
    text = "The metadata store cannot be reached, please try again later."
    retry_after_seconds = 5


class StoreError(ProviderError):
    """Our own durable state cannot be read or written."""

    code = "store_unavailable"
    remedy = "Try again as `Retry-After` says; the operator checks the disk of `STORAGE_PATH`, or `REDIS_CONNECTION`."
    http_status = 503
    text = "The provider's storage is not available, please try again later."
    retry_after_seconds = 5


class NameUnanswered(UpstreamUnreachable):
    """No name server gave a usable answer about the host of the file: none in time, or only failures."""

    code = "upstream_name_unanswered"
    remedy = (
        "Try again as `Retry-After` says; if it lasts, the publisher looks after the host's name servers, the operator "
        "after `/etc/resolv.conf` or `PROVIDER_DNS_SERVERS`."
    )
    http_status = 504
    text = "The name of the file's host could not be resolved in time, please try again later."
    retry_after_seconds = 30


class OriginsBusy(UpstreamUnreachable):
    """Too many host names are being resolved, or FTP servers logged in to, for this client or for all."""

    code = "origins_busy"
    remedy = "Try again as `Retry-After` says; ask for fewer files at a time."
    http_status = 503
    text = "The provider contacts too many file servers, please try again in a moment."
    retry_after_seconds = 2


class LengthUnknown(UpstreamError):
    """Over HTTPS, an HTTP/1.0 client could not tell the end of this body from a cut (RFC 9112 section 9.8)."""

    code = "length_unknown"
    remedy = "Ask with HTTP/1.1. A front needs to be told so: for nginx that is `proxy_http_version 1.1`."
    http_status = 426
    text = "The length of this file is not known beforehand: over HTTPS it is sent to HTTP/1.1 clients only."
