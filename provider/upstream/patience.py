"""Origins that answer "not now": how long they ask to wait, and what to tell the consumer (pure)."""

from provider.errors import UpstreamBusy, UpstreamError, UpstreamRefused
from provider.upstream.source import Headers, Source
from provider.upstream.validators import parse_http_date
from provider.wire.text import digits, ows

# Request Timeout, Too Early, Too Many Requests, Service Unavailable.
NOT_NOW = frozenset((408, 425, 429, 503))
# May be repeated at once, since nothing was done yet (RFC 9110 section 15.5.9, RFC 8470 section 5.2).
_AT_ONCE = frozenset((408, 425))
# Longest wait passed on to a consumer. Anything longer is an error for the publisher to fix.
_MOST_TOLD_SECONDS = 86_400.0


def retry_after_seconds(headers: Headers, *, now: float) -> float | None:
    """Seconds that `Retry-After` asks for, never negative (RFC 9110 section 10.2.3); None without a valid one.

    A date is compared with the answer's own `Date`, since the origin's clock may differ; without one, with `now`.
    """
    text = ows(headers.get("Retry-After") or "")
    seconds = digits(text, max_chars=9)
    if seconds is not None:
        return seconds
    until = parse_http_date(text)
    if until is None:
        return None
    answered = parse_http_date(headers.get("Date"))
    return max(0.0, until.timestamp() - (answered.timestamp() if answered is not None else now))


def pause_seconds(status: int, headers: Headers, *, now: float) -> float | None:
    """Seconds to wait before one more try; None if the origin did not ask for one."""
    if status not in NOT_NOW:
        return None
    asked = retry_after_seconds(headers, now=now)
    return 0.0 if asked is None and status in _AT_ONCE else asked


def refusal(source: Source, detail: str, *, now: float) -> UpstreamError:
    """The error for an answer that does not contain the file."""
    if source.status not in NOT_NOW:
        return UpstreamRefused(detail=detail)
    error, asked = UpstreamBusy(detail=detail), retry_after_seconds(source.headers, now=now)
    if asked is not None:
        error.ask_again_in(min(asked, _MOST_TOLD_SECONDS))
    return error
