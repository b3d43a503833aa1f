"""Times as commands show them (pure)."""

from datetime import UTC, datetime


def utc(seconds: int) -> str:
    """ISO 8601 of unix seconds. Contracts may name any number: one that no date can tell is shown as it is."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return str(seconds)
