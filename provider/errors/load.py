"""Temporary refusals, whatever the request says: too much at once, by one client or by all."""

from provider.errors.base import Fault, ProviderError


class LoadRefused(ProviderError):
    """Base of refusals that are decided before the request is looked at; the same request may be accepted later."""

    code = "load_refused"
    remedy = "Try again after `Retry-After`."
    http_status = 503
    retry_after_seconds: int | None = 1

    def __init__(self, text: str | None = None, *, after_seconds: float | None = None) -> None:
        """`after_seconds` replaces the class's default for `Retry-After`."""
        super().__init__(text)
        if after_seconds is not None:
            self.ask_again_in(after_seconds)


class TooManyRequests(LoadRefused):
    """The client's address has sent more requests, or bytes to process, than its limits allow (RFC 6585 section 4)."""

    code = "too_many_requests"
    fault: Fault = "consumer"
    remedy = (
        "Send fewer requests, and wait for `Retry-After`. Operator: the limits are under `[admission]`. If the server "
        "is behind a proxy, name the proxy in `TRUSTED_PROXIES`; otherwise all its clients count as one."
    )
    http_status = 429
    text = "Too many requests, please try again later."


class ServerBusy(LoadRefused):
    """The server has more work than it can do. Work that has begun comes first."""

    code = "server_busy"
    remedy = "Try again after `Retry-After`. Operator: if this lasts, add workers or hosts."
    text = "The provider is busy, please try again in a moment."


class ServerFull(LoadRefused):
    """The number of downloads in progress, or of open connections, has reached its limit."""

    code = "server_full"
    remedy = (
        "Try again after `Retry-After`. Operator: raise `PROVIDER_MAX_STREAMS` or `PROVIDER_MAX_CONNECTIONS` if the "
        "host has capacity."
    )
    text = "The provider has reached its limit, please try again later."
    retry_after_seconds: int | None = 5


class InspectionsBusy(LoadRefused):
    """The number of files being inspected has reached its limit, for all clients or for this one."""

    code = "inspections_busy"
    remedy = "Try again after `Retry-After`. Operator: raise `PROVIDER_MAX_INSPECTIONS` if the host has capacity."
    text = "The provider is inspecting too many files, please try again later."
    retry_after_seconds: int | None = 2


class BodiesFull(LoadRefused):
    """The bodies of all requests in progress take as much memory as the settings allow."""

    code = "bodies_full"
    remedy = "Try again after `Retry-After`. Operator: raise `PROVIDER_MAX_BODIES_BYTES` if the host has capacity."
    text = "The provider is reading too many requests at once, please try again in a moment."
