"""Failures of dependencies: origins, chains, the metadata store, the server's own durable state."""

from provider.errors.base import Fault, ProviderError


class UpstreamError(ProviderError):
    """Base of failures of the file's server before it sent data."""

    # wire: the old Provider tries the URL before it streams and answers 400 [K26]; the code says more.
    code = "upstream_failed"
    fault: Fault = "origin"
    remedy = "Try again later. Publisher: if this lasts, check the file's host."
    http_status = 400
    text = "Asset URL not found, not available or invalid."


class UpstreamUnreachable(UpstreamError):
    """There was no connection, or it was lost before the answer's head was complete."""

    code = "upstream_unreachable"
    remedy = "Try again later. Publisher: if this lasts, check the file's host."
    # Its own, because a class without a text only groups others.
    text = UpstreamError.text


class UpstreamTimedOut(UpstreamError):
    """The connect, first-byte or idle limit has passed."""

    code = "upstream_timed_out"
    remedy = "Try again later. Operator: raise the limits under `[upstream]` if they are too short."


class UnsafeAddress(UpstreamError):
    """The URL leads to an address to which connections are forbidden, or cannot be resolved."""

    code = "unsafe_address"
    remedy = "Publisher: use a public host for the file. Operator: for private hosts, set `ALLOW_NON_PUBLIC_IP`."
    text = "Unsafe url <URL stripped for security reasons>"


class UpstreamRefused(UpstreamError):
    """The origin answered, but not with a file (its status is neither 200 nor, for a range, 206 or 416)."""

    code = "upstream_refused"
    remedy = "Publisher: check that the file's URL, with its headers, answers 200."


class UpstreamBusy(UpstreamError):
    """The origin answered 408, 425, 429 or 503, which is temporary."""

    code = "upstream_busy"
    remedy = "Try again after `Retry-After`. Publisher: if this lasts, raise the limits of the file's host."
    retry_after_seconds = 5


class UpstreamTruncated(UpstreamError):
    """The body ended before its announced end. After headers were sent, the connection can only be cut."""

    code = "upstream_truncated"
    remedy = "Request the rest with `Range`, from where the bytes ended."
    text = UpstreamError.text


class UpstreamTooShort(UpstreamTruncated):
    """The origin says that the body was complete, but it was shorter than announced. There is no rest to request."""

    code = "upstream_too_short"
    remedy = "Publisher: check the file's host. It announces more bytes than it sends."


class ContractCallFailed(UpstreamError):
    """The contract refused the call, or its answer does not match the ABI."""

    code = "contract_call_failed"
    remedy = "Check the values in `userdata`. Publisher: if they are right, correct the address, chain or ABI."
    text = "Failed to call contract"


class ChainError(ProviderError):
    """Base of failures of a node."""

    code = "chain_failed"
    remedy = "Try again after `Retry-After`. Operator: check the node behind `NETWORK_URL`."
    http_status = 503
    text = "The blockchain node gave no usable answer, please try again later."
    retry_after_seconds = 5


class ChainUnavailable(ChainError):
    """No configured endpoint of the chain answered. This does not mean "no order"."""

    code = "chain_unavailable"
    remedy = "Try again after `Retry-After`. Operator: check `NETWORK_URL`, or add a second endpoint."
    text = "The blockchain node cannot be reached, please try again later."


class ServiceUnavailable(ProviderError):
    """A service that the operator configured (metadata store, RBAC, policy, operator service) gave no answer."""

    code = "service_unavailable"
    remedy = "Try again after `Retry-After`. Operator: run `provider check`."
    http_status = 503
    text = "A service that this request needs is unavailable."
    retry_after_seconds: int | None = 5


class GatewayUnset(ServiceUnavailable):
    """The operator has switched this kind of gateway off."""

    code = "gateway_unset"
    remedy = "Ask the operator to set `IPFS_GATEWAY` or `ARWEAVE_GATEWAY`, whichever the text names."
    text = "No gateway defined."
    # Waiting does not help.
    retry_after_seconds = None


class AnswerTooLong(ServiceUnavailable):
    """A service that the operator configured sent an answer that is longer than the limit."""

    code = "service_answer_too_long"
    remedy = "Operator: check that the configured URL leads to the right service."


class MetadataStoreUnavailable(ServiceUnavailable):
    """The metadata store did not answer. This does not mean "no such asset"."""

    code = "metadata_store_unavailable"
    remedy = "Try again after `Retry-After`. Operator: check `AQUARIUS_URL`."
    http_status = 503
    text = "The metadata store cannot be reached, please try again later."
    retry_after_seconds = 5


class StoreError(ProviderError):
    """The server's own durable state cannot be read or written."""

    code = "store_unavailable"
    remedy = "Try again after `Retry-After`. Operator: check the disk of `STORAGE_PATH`, or `REDIS_CONNECTION`."
    http_status = 503
    text = "The provider's storage is not available, please try again later."
    retry_after_seconds = 5


class NameUnanswered(UpstreamUnreachable):
    """No name server gave a usable answer for the file's host: none answered in time, or all failed."""

    code = "upstream_name_unanswered"
    remedy = (
        "Try again after `Retry-After`. If this lasts: publisher, check the host's name servers; operator, check "
        "`/etc/resolv.conf` or `PROVIDER_DNS_SERVERS`."
    )
    http_status = 504
    text = "The name of the file's host could not be resolved in time, please try again later."
    retry_after_seconds = 30


class OriginsBusy(UpstreamUnreachable):
    """Too many host names are being resolved, or too many FTP logins are in progress, for this client or for all."""

    code = "origins_busy"
    fault: Fault = "ours"
    remedy = "Try again after `Retry-After`, and ask for fewer files at a time."
    http_status = 503
    text = "The provider is contacting too many file servers, please try again in a moment."
    retry_after_seconds = 2


class LengthUnknown(UpstreamError):
    """Over HTTPS, an HTTP/1.0 client could not distinguish the end of this body from a cut (RFC 9112 section 9.8)."""

    code = "length_unknown"
    fault: Fault = "consumer"
    remedy = (
        "Use HTTP/1.1. Operator: if a reverse proxy sends HTTP/1.0, configure it; for nginx, set "
        "`proxy_http_version 1.1`."
    )
    http_status = 426
    text = "The length of this file is not known in advance. Over HTTPS it is sent to HTTP/1.1 clients only."
