"""Origins that answer "not now": how long they ask to wait, and what the consumer is told (pure)."""

from datetime import datetime
from email.utils import parsedate_to_datetime

from provider.errors import UpstreamBusy, UpstreamError, UpstreamRefused
from provider.upstream.source import Headers, Source
from provider.wire.text import digits, ows

# Request Timeout, Too Early, Too Many Requests, Service Unavailable.
NOT_NOW = frozenset((408, 425, 429, 503))
# These may be repeated at once (RFC 9110 section 15.5.9, RFC 8470 section 5.2): nothing was done yet.
_AT_ONCE = frozenset((408, 425))
# A consumer is not told to wait longer; what lasts longer is an error that the publisher looks after.
_MOST_TOLD_SECONDS = 86_400.0


def retry_after_seconds(headers: Headers, *, now: float) -> float | None:
    """Seconds that `Retry-After` asks for, never negative (RFC 9110 section 10.2.3); None when it says none.

    A date counts from the answer's own `Date`, since the origin's clock may differ, and from `now` without one.
    """
    text = ows(headers.get("Retry-After") or "")
    seconds = digits(text, max_chars=9)
    if seconds is not None:
        return seconds
    until = _date(text)
    if until is None:
        return None
    answered = _date(headers.get("Date") or "")
    return max(0.0, until.timestamp() - (answered.timestamp() if answered is not None else now))


def pause_seconds(status: int, headers: Headers, *, now: float) -> float | None:
    """How long to wait before one more try; None when the origin did not ask for one."""
    if status not in NOT_NOW:
        return None
    asked = retry_after_seconds(headers, now=now)
    return 0.0 if asked is None and status in _AT_ONCE else asked


def refusal(source: Source, detail: str, *, now: float) -> UpstreamError:
    """The error for an answer that is no file."""
    if source.status not in NOT_NOW:
        return UpstreamRefused(detail=detail)
    error, asked = UpstreamBusy(detail=detail), retry_after_seconds(source.headers, now=now)
    if asked is not None:
        error.ask_again_in(min(asked, _MOST_TOLD_SECONDS))
    return error


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
        return found if found.tzinfo is not None else None
    except ValueError:
        return None
