"""How many calls one endpoint takes in one request: what it took and refused in, a size out. Pure."""

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
        """Most calls to send together; None: as many as there are."""
        if self._refused is None:
            return None
        if now >= self._known_until:
            self._works, self._refused = 1, None
            return None
        return max(1, (self._works + self._refused) // 2)

    @property
    def is_settled(self) -> bool:
        """False while a size between what works and what was refused is still to be tried."""
        return self._refused is None or self._refused - self._works <= 1

    def worked(self, calls: int) -> None:
        """So many were answered together."""
        self._works = max(self._works, calls)
        if self._refused is not None and self._works >= self._refused:
            self._refused = self._works + 1

    def refused(self, calls: int, now: float) -> None:
        """So many were not answered together, but were one by one."""
        if self._refused is None:
            self._known_until = now + RETRY_SECONDS
            self._works = 1
        self._refused = calls if self._refused is None else min(self._refused, calls)
        self._works = min(self._works, self._refused - 1)
