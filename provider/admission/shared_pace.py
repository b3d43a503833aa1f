"""One worker's part in buckets that all workers and hosts share (pure).

Every worker decides at once, with buckets of its own. It reports its charges now and then. When the reply shows charges
of other workers, it adjusts its own bucket. `redis/rate_limits.py` sends the reports.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import frexp
from typing import cast

from provider.admission.buckets import Buckets

# A client that takes more than this part of a burst, and more than comes back between two reports anyway, is reported
# at once.
EARLY_SHARE = 10
LEAST_EARLY_SECONDS = 0.2
# Requests that workers admit before they hear of each other become debt beyond the burst. No client ever waits longer
# than this, whatever was written to Redis and however its clock jumped.
MAX_DEBT_SECONDS = 30.0
# Charges are reported in the order of these classes. Each has twice the cost of the one below; the last has no bound.
_CLASSES = 24
_LEAST_EXPONENT = -8


@dataclass(slots=True)
class Charge:
    """One client's charges since a time (clock of the buckets), as the seconds that its bucket needs to refill."""

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
        self._by_cost: list[OrderedDict[bytes, Charge]] = [OrderedDict() for _ in range(_CLASSES)]
        buckets.charged = self._charged

    @property
    def has_pending(self) -> bool:
        """Return whether there is anything to report."""
        return bool(self._pending)

    def _charged(self, client: Hashable, now: float, cost_seconds: float) -> None:
        charge = self._pending.get(cast(bytes, client))
        if charge is None:
            if len(self._pending) >= self._buckets.max_clients:
                forgotten, dropped = self._pending.popitem(last=False)
                del self._by_cost[_class_of(dropped.cost_seconds)][forgotten]
            charge = self._pending[cast(bytes, client)] = Charge(cast(bytes, client), now, 0.0)
            self._by_cost[_class_of(0.0)][charge.client] = charge
            self._wake(False)
        before = _class_of(charge.cost_seconds)
        charge.cost_seconds += cost_seconds
        after = _class_of(charge.cost_seconds)
        if after != before:
            del self._by_cost[before][charge.client]
            self._by_cost[after][charge.client] = charge
        if charge.cost_seconds >= self._early_seconds:
            self._wake(True)

    def take(self, at_most: int) -> Sequence[Charge]:
        """Take at most `at_most` charges to report: first those of the clients that used most, then the oldest ones.

        "Most" is right within a factor of two. The time depends on `at_most`, not on the number of clients that wait.
        """
        charges: list[Charge] = []
        for charged in reversed(self._by_cost):
            while charged and len(charges) < at_most:
                client, charge = charged.popitem(last=False)
                del self._pending[client]
                charges.append(charge)
        return charges

    def apply(self, client: bytes, full_at: float) -> None:
        """Apply a reply: with all reported charges, the client's bucket is full at `full_at` and not before."""
        pending = self._pending.get(client)
        if pending is not None:
            full_at = max(full_at, pending.since) + pending.cost_seconds
        self._buckets.raise_to(client, full_at)


def _class_of(cost_seconds: float) -> int:
    return min(max(frexp(cost_seconds)[1] - _LEAST_EXPONENT, 0), _CLASSES - 1) if cost_seconds else 0
