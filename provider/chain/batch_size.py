"""Decides how many calls to send to an endpoint in one request, from what it answered and refused. Pure."""

RETRY_SECONDS = 600.0
"""After this time a refusal is forgotten: it may have been one bad moment, or the service has another plan."""


class BatchSize:
    """Nothing is known at first, and all calls are sent together. After a refusal the size is bisected.

    Times are the event loop's.
    """

    def __init__(self) -> None:
        self._works = 1
        self._refused: int | None = None
        self._known_until = 0.0

    def most(self, now: float) -> int | None:
        """Return the most calls to send together; None for no limit."""
        if self._refused is None:
            return None
        if now >= self._known_until:
            self._works, self._refused = 1, None
            return None
        return max(1, (self._works + self._refused) // 2)

    @property
    def is_settled(self) -> bool:
        """False while there is an untried size between the largest that works and the smallest that was refused."""
        return self._refused is None or self._refused - self._works <= 1

    def worked(self, calls: int) -> None:
        """Record that `calls` calls were answered together."""
        self._works = max(self._works, calls)
        if self._refused is not None and self._works >= self._refused:
            self._refused = self._works + 1

    def refused(self, calls: int, now: float) -> None:
        """Record that `calls` calls were refused together, but answered one by one."""
        if self._refused is None:
            self._known_until = now + RETRY_SECONDS
            self._works = 1
        self._refused = calls if self._refused is None else min(self._refused, calls)
        self._works = min(self._works, self._refused - 1)
