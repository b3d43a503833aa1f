"""When to try again (pure)."""

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 600.0
MAX_ATTEMPTS = 200
"""More than a day of retries; the age of a proof is bounded by a setting as well."""


def retry_seconds(attempts: int) -> float:
    """Pause after the attempt that followed `attempts` failed ones: it doubles up to ten minutes."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts, 16), LONGEST_RETRY_SECONDS)


def poll_seconds(age_seconds: float, *, first_seconds: float) -> float:
    """Pause until the next look at a transaction of that age: a quarter of it, a minute at most."""
    return min(max(first_seconds, age_seconds / 4), 60.0)
