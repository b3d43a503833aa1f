"""The request itself is wrong, or exceeds a limit that the operator set."""

from collections.abc import Mapping, Sequence

from provider.errors.base import Fault, ProviderError


class RequestError(ProviderError):
    """The request is malformed."""

    code = "request_invalid"
    fault: Fault = "consumer"
    remedy = "Correct the request as the text says."
    http_status = 400
    text = "The request is not valid."


class ValidationFailed(RequestError):
    """One or more fields failed their rules; the wire shape of `provider-api.md` section 2.

    `errors` maps a field (dotted when nested) to its messages: a list, or a plain string for a refused
    signature (wire: clients rely on that irregularity).
    """

    code = "validation_failed"
    shape = "validation"
    remedy = "Correct the fields named in `errors`, as their messages say."
    text = "Validation error"

    def __init__(self, errors: Mapping[str, Sequence[str] | str], *, detail: str | None = None) -> None:
        super().__init__(detail=detail)
        self.errors = errors

    def body(self) -> Mapping[str, object]:
        """Validation body (shape 1)."""
        return {"errors": self.errors, "message": "Validation error", "success": False}


class BodyTooLarge(RequestError):
    """The body is longer than its route accepts (`docs/limits.md`)."""

    code = "body_too_large"
    remedy = (
        "Send a shorter body. Operator: `PROVIDER_MAX_BODY_BYTES` is the limit for `encrypt`, `decrypt` and "
        "`ddo/validate`."
    )
    http_status = 413
    text = "The request body is too large."


class NotHttp(RequestError):
    """Not a valid HTTP/1.1 request (RFC 9112): the first line, a header field or the body is malformed."""

    code = "not_http"
    remedy = "Check the client, and the proxies between it and the server. One cause is a TLS client on a plain port."
    text = "This is not an HTTP request."


class BodyTooSlow(RequestError):
    """The body was not complete when its time limit had passed (RFC 9110 section 15.5.9)."""

    code = "body_too_slow"
    remedy = "Send the body faster, or ask the operator to raise `PROVIDER_BODY_TIMEOUT_SECONDS`."
    http_status = 408
    text = "The request body took too long to arrive."


class BodyNotObject(RequestError):
    """The JSON body is an array, text, number or boolean. Null counts as no body."""

    code = "body_not_object"
    remedy = "Send a JSON object."
    text = "The request body must be a JSON object."


class RouteNotFound(RequestError):
    """There is no such path."""

    code = "route_not_found"
    remedy = "Use the paths that `GET /` lists. Compute routes exist only if `OPERATOR_SERVICE_URL` is set."
    http_status = 404
    text = (
        "404 Not Found: The requested URL was not found on the server. If you entered the URL manually "
        "please check your spelling and try again."
    )


class MethodNotAllowed(RequestError):
    """The path exists, but does not support this method."""

    code = "method_not_allowed"
    remedy = "Use a method that the `Allow` header names."
    http_status = 405
    text = "405 Method Not Allowed: The method is not allowed for the requested URL."


class UnsupportedChain(RequestError):
    """The chain is not configured here."""

    code = "unsupported_chain"
    remedy = "Use a chain that `GET /` lists, or ask the operator to add yours to `NETWORK_URL`."
    text = "Unsupported chain ID."


class TooManyStreams(ProviderError):
    """The consumer has as many streams in progress as the settings allow (RFC 6585 section 4)."""

    code = "too_many_streams"
    fault: Fault = "consumer"
    remedy = "Try again after `Retry-After`, or ask the operator to raise `PROVIDER_MAX_STREAMS_PER_CONSUMER`."
    http_status = 429
    text = "Too many downloads at once, please try again when one has ended."
    retry_after_seconds = 5


class BodyTooComplex(RequestError):
    """A JSON body, or JSON text in a field, has more values than any request needs (`docs/limits.md`)."""

    code = "body_too_complex"
    remedy = "Send fewer values. Every entry of a list or an object counts, whatever it holds."
    http_status = 413
    text = "The JSON document has too many values."
