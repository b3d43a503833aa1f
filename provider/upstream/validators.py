"""Validators of a file version, entity tags and dates, and their comparison (pure; RFC 9110 section 8.8)."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from provider.upstream.source import Headers

_OPAQUE = r'"[\x21\x23-\x7e\x80-\xff]*"'  # RFC 9110 section 8.8.3
ENTITY_TAG = re.compile(rf"(?:W/)?{_OPAQUE}")
# An empty tag is valid, but servers that send one mean "no tag".
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]+"')
# RFC 9110 section 8.8.2.2 wants "enough difference"; RFC 7232 said 60 seconds.
_SURELY_OLDER_SECONDS = 60.0


def is_strong_tag(text: str) -> bool:
    """True for a single entity tag without `W/`."""
    return _STRONG_TAG.fullmatch(text) is not None


def parse_http_date(text: str | None) -> datetime | None:
    """Parse an HTTP date in any of its three forms (RFC 9110 section 5.6.7). None for anything else."""
    try:
        found = parsedate_to_datetime(text) if text is not None else None
    except (ValueError, OverflowError):
        return None
    if found is None or found.tzinfo is not None:
        return found
    # Only the asctime form has no zone, and it means UTC. A date with a comma has lost its zone.
    return found.replace(tzinfo=UTC) if text is not None and "," not in text else None


def http_date_text(date: datetime) -> str:
    """Format a date in the preferred form (RFC 9110 section 5.6.7)."""
    return format_datetime(date.astimezone(UTC), usegmt=True)


def is_strong_date(modified: str | None, headers: Headers) -> bool:
    """True if this `Last-Modified` identifies exactly one version: it must be well before the answer's `Date`."""
    changed, answered = parse_http_date(modified), parse_http_date(headers.get("Date"))
    if changed is None or answered is None:
        return False
    return (answered - changed).total_seconds() >= _SURELY_OLDER_SECONDS
