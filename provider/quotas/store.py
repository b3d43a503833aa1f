"""The interface of the stores of counts: a file for the workers of a host, or Redis for several hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from provider.quotas.quota import Amount, Body, Count, Quota, Refusal

LEASE_SECONDS = 30.0
"""A hold that its worker did not renew for this long is given back: the worker is dead."""
KEPT_SECONDS = 35 * 86_400
"""A count is deleted this long after its end, so that a clock that was wrong for a while loses nothing."""


@dataclass(frozen=True, slots=True)
class Move:
    """The amount that a download in progress has sent so far. Only the rest of its hold stays held.

    Attributes:
        noted: the amount that was reported before. It counts if the store has given the hold back meanwhile.
        rest: what it may still send. It is held again if the store has given the hold back meanwhile.
        is_end: nothing stays held, and no other report of this hold counts from here on.
    """

    hold_id: str
    names: tuple[str, ...]
    sent: Amount
    noted: Amount
    rest: Amount
    is_end: bool


class QuotaStore(Protocol):
    """Counts by name. All methods raise StoreError."""

    async def counts(self, names: Sequence[str]) -> Sequence[Count]:
        """The counts, zero for unknown names."""
        ...

    async def take(self, hold_id: str, quotas: Sequence[Quota], body: Body, now: float) -> Refusal | Amount:
        """Decide and hold, in one step, what a body may take of each quota. Returns what is held, or the refusal.

        A hold that is there already becomes larger by this.
        """
        ...

    async def move(self, moves: Sequence[Move]) -> None:
        """Count what was sent."""
        ...

    async def close(self) -> None:
        """Finish the work in progress."""
        ...
