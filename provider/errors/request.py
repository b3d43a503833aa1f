"""The request itself is wrong, or over a limit that the operator set."""

from collections.abc import Mapping, Sequence

from provider.errors.base import ProviderError


class RequestError(ProviderError):
    """The request is malformed; 400 unless a subclass says otherwise."""

    code = "request_invalid"
    remedy = "Correct the request as the text says."
    http_status = 400
    text = "The request is not valid."


class ValidationFailed(RequestError):
    """One or more fields failed their rules; the wire shape of `provider-api.md` section 2.

    `errors` maps a field (dotted when nested) to its messages: a list, or a plain string for a refused
    signature (wire: that irregularity is relied upon).
    """

    code = "validation_failed"
    shape = "validation"
    remedy = "Correct the fields named in `errors`; each has its messages."
    text = "Validation error"

    def __init__(self, errors: Mapping[str, Sequence[str] | str], *, detail: str | None = None) -> None:
        super().__init__(detail=detail)
        self.errors = errors

    def body(self) -> Mapping[str, object]:
        """Validation body (shape 1)."""
        return {"errors": self.errors, "message": "Validation error", "success": False}


class BodyTooLarge(RequestError):
    """The body is longer than its route takes (`docs/limits.md`)."""

    code = "body_too_large"
    remedy = "Send a shorter body; for `encrypt` and `decrypt` the operator may raise `PROVIDER_MAX_BODY_BYTES`."
    http_status = 413
    text = "The request body is too large."


class NotHttp(RequestError):
    """What arrived is no request by the rules of HTTP/1.1 (RFC 9112): its first line, a header field or its body."""

    code = "not_http"
    remedy = "Look at what stands between client and server; a TLS client on a plain port is one cause."
    text = "This is not an HTTP request."


class BodyTooSlow(RequestError):
    """The body was not all there when the time that settings give it was over (RFC 9110 section 15.5.9)."""

    code = "body_too_slow"
    remedy = "Send the body faster, or let the operator raise `PROVIDER_BODY_TIMEOUT_SECONDS`."
    http_status = 408
    text = "The request body took too long to arrive."


class BodyNotObject(RequestError):
    """The JSON body is an array, text, number or boolean; null counts as no body."""

    code = "body_not_object"
    remedy = "Send a JSON object."
    text = "The request body must be a JSON object."


class RouteNotFound(RequestError):
    """No such path."""

    code = "route_not_found"
    remedy = "Take the paths from `GET /`. Compute routes exist only where the operator has set `OPERATOR_SERVICE_URL`."
    http_status = 404
    text = (
        "404 Not Found: The requested URL was not found on the server. If you entered the URL manually "
        "please check your spelling and try again."
    )


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    remedy = "Use a method that the `Allow` header names."
    http_status = 405
    text = "405 Method Not Allowed: The method is not allowed for the requested URL."


class UnsupportedChain(RequestError):
    """The chain is not configured here."""

    code = "unsupported_chain"
    remedy = "Use a chain that `GET /` lists, or let the operator add it to `NETWORK_URL`."
    text = "Unsupported chain ID."


class TooManyStreams(ProviderError):
    """The consumer has as many streams under way as the settings allow (RFC 6585 section 4)."""

    code = "too_many_streams"
    remedy = "Wait as long as `Retry-After` says, or let the operator raise `PROVIDER_MAX_STREAMS_PER_CONSUMER`."
    http_status = 429
    text = "Too many downloads at once, please try again when one has ended."
    retry_after_seconds = 5


class BodyTooComplex(RequestError):
    """A JSON body, or JSON text in a field, has more values than any request needs (`docs/limits.md`)."""

    code = "body_too_complex"
    remedy = "Send fewer values: entries of lists and objects count, whatever they hold."
    http_status = 413
    text = "The JSON document has too many values."
