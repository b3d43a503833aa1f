"""Decides when to try again (pure)."""

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 600.0
MAX_ATTEMPTS = 200
"""More than a day of retries. A setting also limits the age of a proof."""


def retry_seconds(attempts: int) -> float:
    """Return the pause after `attempts` earlier failures and this one: it doubles up to ten minutes."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts, 16), LONGEST_RETRY_SECONDS)


def poll_seconds(age_seconds: float, *, first_seconds: float) -> float:
    """Return the pause until the next look at a transaction of that age: a quarter of the age, at most a minute."""
    return min(max(first_seconds, age_seconds / 4), 60.0)
