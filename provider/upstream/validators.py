"""Validators of a file version, entity tags and dates, and their comparison (pure; RFC 9110 section 8.8)."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from provider.upstream.source import Headers

_OPAQUE = r'"[\x21\x23-\x7e\x80-\xff]*"'  # RFC 9110 section 8.8.3
ENTITY_TAG = re.compile(rf"(?:W/)?{_OPAQUE}")
# An empty tag is valid, but servers that send one mean "no tag".
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]+"')
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
# IMF-fixdate, the date of RFC 850, and that of asctime.
_HTTP_DATE = re.compile(
    rf"(?:[A-Za-z]{{3}}, )?[0-9]{{1,2}} [A-Za-z]{{3}} [0-9]{{4}} {_TIME} (?:GMT|UTC|UT|Z|[+-][0-9]{{4}})"
    rf"|[A-Za-z]{{6,9}}, [0-9]{{2}}-[A-Za-z]{{3}}-[0-9]{{2}} {_TIME} GMT"
    rf"|[A-Za-z]{{3}} [A-Za-z]{{3}} [0-9 ][0-9] {_TIME} [0-9]{{4}}"
)
# RFC 9110 section 8.8.2.2 wants "enough difference"; RFC 7232 said 60 seconds.
_SURELY_OLDER_SECONDS = 60.0


def is_strong_tag(text: str) -> bool:
    """True for a single entity tag without `W/`."""
    return _STRONG_TAG.fullmatch(text) is not None


def parse_http_date(text: str | None) -> datetime | None:
    """Parse an HTTP date in any of its three forms (RFC 9110 section 5.6.7), in UTC. None for anything else.

    Zones other than GMT, days with one digit, and dates without a weekday are read too, since some origins send them.
    """
    # The library ignores words behind a date, and reads digits as `int()` does.
    if text is None or _HTTP_DATE.fullmatch(text) is None:
        return None
    try:
        found = parsedate_to_datetime(text)
        # Only the asctime form has no zone, and it means UTC.
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def http_date_text(date: datetime) -> str:
    """Format a date of UTC in the preferred form (RFC 9110 section 5.6.7)."""
    return format_datetime(date, usegmt=True)


def is_strong_date(modified: str | None, headers: Headers) -> bool:
    """True if this `Last-Modified` identifies exactly one version: it must be well before the answer's `Date`."""
    changed, answered = parse_http_date(modified), parse_http_date(headers.get("Date"))
    if changed is None or answered is None:
        return False
    return (answered - changed).total_seconds() >= _SURELY_OLDER_SECONDS
