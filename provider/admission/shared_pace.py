"""One worker's part in buckets that all workers and hosts take from (pure).

Every worker decides at once, by buckets of its own. What it charged goes to all now and then, and when the answer says
that others have taken as well, its own bucket follows. `redis/rate_limits.py` does the telling.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import cast

from provider.admission.buckets import Buckets

# Whoever takes more than this part of a burst, and more than comes in between two exchanges anyway, is told of at once.
EARLY_SHARE = 10
LEAST_EARLY_SECONDS = 0.2
# What workers let in before they hear of each other is owed beyond the burst. More than this nobody ever waits for,
# whatever somebody else wrote to Redis and wherever its clock jumped.
MAX_DEBT_SECONDS = 30.0


@dataclass(slots=True)
class Charge:
    """What one client took since a time (the clock of the buckets); in seconds that its bucket needs to fill up."""

    client: bytes
    since: float
    cost_seconds: float


class SharedPace:
    """The charges of some buckets until they are told, and what others took.

    `wake` is called when there is something to tell, with True when it should be told at once. Of more clients than
    the buckets remember the first charged is forgotten: nobody but this worker counts that.
    """

    def __init__(self, name: str, buckets: Buckets, *, wake: Callable[[bool], None]) -> None:
        """`name` is the same on all hosts. Hooks itself into `buckets`, whose clients are bytes."""
        self.name = name
        self.most_seconds = buckets.burst_seconds + MAX_DEBT_SECONDS
        self._early_seconds = max(buckets.burst_seconds / EARLY_SHARE, LEAST_EARLY_SECONDS)
        self._buckets = buckets
        self._wake = wake
        self._pending: dict[bytes, Charge] = {}
        buckets.charged = self._charged

    @property
    def has_pending(self) -> bool:
        """Is there anything to tell?"""
        return bool(self._pending)

    def _charged(self, client: Hashable, now: float, cost_seconds: float) -> None:
        charge = self._pending.get(cast(bytes, client))
        if charge is None:
            if len(self._pending) >= self._buckets.max_clients:
                del self._pending[next(iter(self._pending))]
            charge = self._pending[cast(bytes, client)] = Charge(cast(bytes, client), now, 0.0)
            self._wake(False)
        charge.cost_seconds += cost_seconds
        if charge.cost_seconds >= self._early_seconds:
            self._wake(True)

    def take(self, at_most: int) -> Sequence[Charge]:
        """What is to be told now; of more clients than `at_most` those who took most."""
        if len(self._pending) <= at_most:
            charges, self._pending = list(self._pending.values()), {}
            return charges
        charges = nlargest(at_most, self._pending.values(), key=lambda charge: charge.cost_seconds)
        for charge in charges:
            del self._pending[charge.client]
        return charges

    def apply(self, client: bytes, full_at: float) -> None:
        """With all that was told, the client's bucket is full at this time, and not before."""
        pending = self._pending.get(client)
        if pending is not None:
            full_at = max(full_at, pending.since) + pending.cost_seconds
        self._buckets.raise_to(client, full_at)
