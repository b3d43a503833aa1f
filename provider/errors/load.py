"""Refused for now, whatever the request says: too much at once, of one client or of all."""

from provider.errors.base import ProviderError


class LoadRefused(ProviderError):
    """Base of refusals that are decided before the request is looked at; the same request may pass later."""

    code = "load_refused"
    remedy = "Try again as `Retry-After` says."
    http_status = 503
    retry_after_seconds: int | None = 1

    def __init__(self, text: str | None = None, *, after_seconds: float | None = None) -> None:
        """`after_seconds`: when to come back instead of the usual."""
        super().__init__(text)
        if after_seconds is not None:
            self.ask_again_in(after_seconds)


class TooManyRequests(LoadRefused):
    """The client's address has sent more than settings allow: requests, or bytes to work on (RFC 6585 section 4)."""

    code = "too_many_requests"
    remedy = (
        "Send fewer, as `Retry-After` says. Behind a proxy the operator names it in `TRUSTED_PROXIES`, or all its "
        "clients count as one; the limits are under `[admission]`."
    )
    http_status = 429
    text = "Too many requests, please try again later."


class ServerBusy(LoadRefused):
    """The server has more to do than it can: what it has begun comes first."""

    code = "server_busy"
    remedy = "Try again as `Retry-After` says; if it lasts, the operator adds workers or hosts."
    text = "The provider is busy, please try again in a moment."


class ServerFull(LoadRefused):
    """As many downloads are under way, or connections open, as settings allow."""

    code = "server_full"
    remedy = (
        "Try again as `Retry-After` says; the operator may raise `PROVIDER_MAX_STREAMS` or `PROVIDER_MAX_CONNECTIONS`."
    )
    text = "The provider serves as many as it may, please try again later."
    retry_after_seconds: int | None = 5


class InspectionsBusy(LoadRefused):
    """As many files are being looked at as settings allow, for all clients or for this one."""

    code = "inspections_busy"
    remedy = "Try again as `Retry-After` says; the operator may raise `PROVIDER_MAX_INSPECTIONS`."
    text = "The provider looks at too many files, please try again later."
    retry_after_seconds: int | None = 2


class BodiesFull(LoadRefused):
    """The bodies of all requests under way hold as much memory as settings allow."""

    code = "bodies_full"
    remedy = "Try again as `Retry-After` says; the operator may raise `PROVIDER_MAX_BODIES_BYTES`."
    text = "The provider reads too much at once, please try again in a moment."
