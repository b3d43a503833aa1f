"""One worker's part in buckets that all workers and hosts share (pure).

Every worker decides at once, with buckets of its own. It reports its charges now and then. When the reply shows that
others took as well, its own bucket follows. `redis/rate_limits.py` does the reporting.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import cast

from provider.admission.buckets import Buckets

# A client that takes more than this part of a burst, and more than comes back between two reports anyway, is reported
# at once.
EARLY_SHARE = 10
LEAST_EARLY_SECONDS = 0.2
# What workers admit before they hear of each other becomes debt beyond the burst. No client ever waits for more than
# this, whatever was written to Redis and however its clock jumped.
MAX_DEBT_SECONDS = 30.0


@dataclass(slots=True)
class Charge:
    """What one client took since a time (clock of the buckets), as the seconds that its bucket needs to refill."""

    client: bytes
    since: float
    cost_seconds: float


class SharedPace:
    """The charges of some buckets until they are reported, and the charges of others.

    `wake` is called when there is something to report; with True if it should be reported at once. If more clients are
    charged than the buckets remember, the first charged is dropped: only this worker then counts that charge.
    """

    def __init__(self, name: str, buckets: Buckets, *, wake: Callable[[bool], None]) -> None:
        """Hook into `buckets`, whose clients are bytes. `name` is the same on all hosts."""
        self.name = name
        self.most_seconds = buckets.burst_seconds + MAX_DEBT_SECONDS
        self._early_seconds = max(buckets.burst_seconds / EARLY_SHARE, LEAST_EARLY_SECONDS)
        self._buckets = buckets
        self._wake = wake
        self._pending: OrderedDict[bytes, Charge] = OrderedDict()
        buckets.charged = self._charged

    @property
    def has_pending(self) -> bool:
        """Tell whether there is anything to report."""
        return bool(self._pending)

    def _charged(self, client: Hashable, now: float, cost_seconds: float) -> None:
        charge = self._pending.get(cast(bytes, client))
        if charge is None:
            if len(self._pending) >= self._buckets.max_clients:
                self._pending.popitem(last=False)
            charge = self._pending[cast(bytes, client)] = Charge(cast(bytes, client), now, 0.0)
            self._wake(False)
        charge.cost_seconds += cost_seconds
        if charge.cost_seconds >= self._early_seconds:
            self._wake(True)

    def take(self, at_most: int) -> Sequence[Charge]:
        """Take the charges to report. If there are more than `at_most` clients, take those who used most."""
        if len(self._pending) <= at_most:
            charges, self._pending = list(self._pending.values()), OrderedDict()
            return charges
        charges = nlargest(at_most, self._pending.values(), key=lambda charge: charge.cost_seconds)
        for charge in charges:
            del self._pending[charge.client]
        return charges

    def apply(self, client: bytes, full_at: float) -> None:
        """Apply a reply: with all reported charges, the client's bucket is full at `full_at` and not before."""
        pending = self._pending.get(client)
        if pending is not None:
            full_at = max(full_at, pending.since) + pending.cost_seconds
        self._buckets.raise_to(client, full_at)
