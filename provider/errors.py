"""Every error a client can see: its code (also the metric label), HTTP status and public text.

    ProviderError
    ├── RequestError            the request itself is wrong
    ├── AuthError               who is asking could not be proven
    ├── AssetError              the asset or service cannot be consumed
    ├── OrderError              no valid paid right to consume
    ├── FileError               the file list or one of its file objects
    ├── DecryptError            a document cannot be decrypted for the caller
    ├── TooManyStreams          a limit that the operator set
    ├── UpstreamError           the origin of the bytes
    ├── ChainError              no JSON-RPC endpoint gave an answer
    └── StoreError              our own durable state

`detail` is for the log only. Public texts are constants of ours or the documented ones (`provider-api.md`
section 17); they never hold a URL, host, path, key, signature or an echo of the request.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class ProviderError(Exception):
    """Base of all refusals. Raise a subclass; `text` overrides its default public text."""

    code = "internal"
    http_status = 500
    text = "Internal error."
    # Value of Retry-After (RFC 9110 section 10.2.3) for refusals that will pass.
    retry_after_seconds: int | None = None

    def __init__(self, text: str | None = None, *, detail: str | None = None) -> None:
        super().__init__(text if text is not None else self.text)
        self.detail = detail
        self.network: str | None = None

    @property
    def public_text(self) -> str:
        """Text for the client on one line, with the `Provider <network>: ` prefix where it applies."""
        text = str(self)
        return " ".join((f"Provider {self.network}: {text}" if self.network else text).split())

    def body(self) -> Mapping[str, object]:
        """JSON body of the reply (`provider-api.md` section 1, shape 2)."""
        return {"error": self.public_text}


@contextmanager
def named_network(name: str) -> Iterator[None]:
    """Errors raised inside carry the `Provider <name>: ` prefix that clients of old show to their users."""
    try:
        yield
    except ProviderError as error:
        if error.network is None:
            error.network = name
        raise


class RequestError(ProviderError):
    """The request is malformed; 400 unless a subclass says otherwise."""

    code = "request_invalid"
    http_status = 400
    text = "The request is not valid."


class ValidationFailed(RequestError):
    """One or more fields failed their rules; the wire shape of `provider-api.md` section 2.

    `errors` maps a field (dotted when nested) to its messages: a list, or a plain string for a refused
    signature (wire: that irregularity is relied upon).
    """

    code = "validation_failed"
    text = "Validation error"

    def __init__(self, errors: Mapping[str, Sequence[str] | str], *, detail: str | None = None) -> None:
        super().__init__(detail=detail)
        self.errors = errors

    def body(self) -> Mapping[str, object]:
        """Validation body (shape 1)."""
        return {"errors": self.errors, "message": "Validation error", "success": False}


class BodyTooLarge(RequestError):
    """The body is longer than the limit in settings."""

    code = "body_too_large"
    http_status = 413
    text = "The request body is too large."


class BodyNotObject(RequestError):
    """The JSON body is an array, text, number or boolean; null counts as no body."""

    code = "body_not_object"
    text = "The request body must be a JSON object."


class RouteNotFound(RequestError):
    """No such path."""

    code = "route_not_found"
    http_status = 404
    text = (
        "404 Not Found: The requested URL was not found on the server. If you entered the URL manually "
        "please check your spelling and try again."
    )


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    http_status = 405
    text = "405 Method Not Allowed: The method is not allowed for the requested URL."


class UnsupportedChain(RequestError):
    """The chain is not configured here."""

    code = "unsupported_chain"
    text = "Unsupported chain ID."


class AuthError(ProviderError):
    """Base of refusals about identity; 400 as the clients expect (`provider-api.md` section 2)."""

    code = "auth_failed"
    http_status = 400


class SignatureInvalid(AuthError):
    """The signature does not recover to the claimed address. `errors.signature` is a plain string (wire)."""

    code = "signature_invalid"
    text = "Invalid signature provided. Please check the nonce or documentId."

    def body(self) -> Mapping[str, object]:
        """Validation body with a plain string on `signature`."""
        return {"errors": {"signature": self.public_text}, "message": "Validation error", "success": False}


class NonceRefused(SignatureInvalid):
    """The nonce is not greater than the last one accepted."""

    code = "nonce_refused"
    text = "Invalid signature: the nonce is not greater than the stored one."


class TokenRefused(AuthError):
    """The AuthToken is not ours, is malformed, or belongs to another address."""

    code = "token_refused"
    text = "Token is invalid."


class TokenExpired(TokenRefused):
    """The AuthToken's `exp` has passed."""

    code = "token_expired"
    text = "Token is expired."


class TokenRevoked(TokenRefused):
    """The AuthToken was deleted by its owner."""

    code = "token_revoked"
    text = "Token is deleted."


class AssetError(ProviderError):
    """Base of refusals about the asset, its service or the consumer's access to it."""

    code = "asset_refused"
    http_status = 400


class AssetNotFound(AssetError):
    """No DDO behind the DID."""

    code = "asset_not_found"
    text = "Cannot resolve DID"


class AssetMalformed(AssetError):
    """The DDO lacks what a consumable asset needs, or is not bound to its DID."""

    code = "asset_malformed"
    text = "Asset malformed or disabled."


class AssetNotConsumable(AssetError):
    """State of the data NFT on chain is neither active (0) nor unlisted (5)."""

    code = "asset_not_consumable"
    text = "Asset is not consumable."


class AccessDenied(AssetError):
    """Credentials or the metadata store's state refuse this consumer."""

    code = "access_denied"
    text = "Access to the asset was denied."


class ServiceNotFound(AssetError):
    """The asset has no service with this id."""

    code = "service_not_found"
    text = "Invalid serviceId."


class ServiceTypeRefused(AssetError):
    """The service exists but is not of the type this endpoint serves."""

    code = "service_type_refused"
    text = "The service is not an access service."


class OrderError(ProviderError):
    """Base of refused orders; `check_order` raises the exact subclass with the documented reason."""

    code = "order_refused"
    http_status = 400
    text = "The order could not be validated."

    def of_transaction(self, tx_id: str, network: str) -> "OrderError":
        """The same refusal in the sentence that clients show; `tx_id` is `0x` and 64 hex digits."""
        reason = f"Provider {network}: {self}" if str(self) else ""
        whole = type(self)(
            f"Order with tx_id {tx_id} could not be validated due to error: {reason}", detail=self.detail
        )
        whole.network = network
        return whole


class OrderDatatokenUnknown(OrderError):
    """The data NFT did not deploy the datatoken (wire: the reason is empty)."""

    code = "order_datatoken_unknown"
    text = ""


class OrderNotFound(OrderError):
    """No such transaction, or it holds no order of this datatoken and service."""

    code = "order_not_found"
    text = "Cannot find the event for the order transaction."


class OrderTransactionFailed(OrderError):
    """The transaction was reverted."""

    code = "order_transaction_failed"
    text = "order transaction failed."


class OrderFeeMissing(OrderError):
    """The transaction holds no provider fee event for this datatoken and service."""

    code = "order_fee_missing"
    text = "Cannot find the event for the provider fee."


class OrderFeeMismatch(OrderError):
    """The provider fee is another provider's, or was not signed by us."""

    code = "order_fee_mismatch"
    text = "Provider was not able to check the signed message in ProviderFees event"


class OrderEnvironmentMismatch(OrderError):
    """The order was made for another compute environment."""

    code = "order_environment_mismatch"
    text = "Mismatch between ordered c2d environment and selected one."


class OrderFeeExpired(OrderError):
    """The provider fee of a compute order has expired, grace included."""

    code = "order_fee_expired"
    text = "Ordered c2d time was exceeded, check validUntil."


class OrderUnderpaid(OrderError):
    """Less than one datatoken was paid."""

    code = "order_underpaid"
    text = "The amount in the event is less than the amount requested."


class OrderExpired(OrderError):
    """The service's timeout has passed since OrderStarted."""

    code = "order_expired"
    text = "The order has expired."


class OrderNotConsumer(OrderError):
    """The caller is neither the consumer nor the payer of the order."""

    code = "order_not_consumer"
    text = "sender of order transaction is not the consumer/payer."


class FileError(ProviderError):
    """Base of refusals about the file list or a file object."""

    code = "file_refused"
    http_status = 400


class FilesUndecryptable(FileError):
    """The files envelope cannot be decrypted, or is bound to another asset."""

    code = "files_undecryptable"
    text = "Unable to get dataset files"


class FileIndexOutOfRange(FileError):
    """No file at this index."""

    code = "file_index_out_of_range"
    text = "No such fileIndex"


class FileObjectInvalid(FileError):
    """A file object breaks a rule of its type (`provider-api.md` section 11.1)."""

    code = "file_object_invalid"
    text = "malformed file object."


class FileUnavailable(FileError):
    """The file does not answer as a readable file."""

    code = "file_unavailable"
    text = "Asset URL not found, not available or invalid."


class EncryptError(ProviderError):
    """The body cannot be encrypted."""

    code = "encrypt_failed"
    http_status = 400
    text = "Failed to encrypt."


class DecryptError(ProviderError):
    """A document cannot be decrypted; the exact texts of `provider-api.md` section 5.3."""

    code = "decrypt_failed"
    http_status = 400
    text = "Failed to decrypt."


class DecrypterNotAuthorized(DecryptError):
    """The caller is not an authorised decrypter."""

    code = "decrypter_not_authorized"
    http_status = 403
    text = "Decrypter not authorized"


class DocumentStateRefused(DecryptError):
    """The data NFT's state forbids reading its document."""

    code = "document_state_refused"
    http_status = 403
    text = "Asset revoked"


class TooManyStreams(ProviderError):
    """The consumer has as many streams under way as the settings allow (RFC 6585 section 4)."""

    code = "too_many_streams"
    http_status = 429
    text = "Too many downloads at once, please try again when one has ended."
    retry_after_seconds = 5


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


class MetadataStoreUnavailable(ProviderError):
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
