"""Percentiles of recent values in little memory: counts by size, which workers can add up (pure)."""

from collections.abc import Sequence
from math import frexp

STEPS_PER_DOUBLING = 2
"""A percentile is right within a factor of 1.42."""
SLOTS = 64
MAX_COUNT = 256
"""At this many values all counts are halved, so that old values fade."""
_ROOT = 2**-0.5


class Sizes:
    """Counts of values by size. Values below `least` count as `least`; the largest size is 2^31 times as much."""

    __slots__ = ("_least", "counts")

    def __init__(self, least: float, counts: Sequence[int] = ()) -> None:
        self._least = least
        self.counts = bytearray(counts) if counts else bytearray(SLOTS)
        """By size, each at most 255."""

    def add(self, value: float) -> None:
        """Take in a value."""
        slot = 0
        if value > self._least:
            mantissa, doublings = frexp(value / self._least)
            slot = STEPS_PER_DOUBLING * (doublings - 1) + (mantissa >= _ROOT)
        counts = self.counts
        slot = min(slot, SLOTS - 1)
        if counts[slot] == MAX_COUNT - 1 or sum(counts) >= MAX_COUNT:
            counts[:] = bytes(count // 2 for count in counts)
        counts[slot] += 1

    def include(self, other: "Sizes") -> None:
        """Add the counts of another worker, to show them. Counts that are too large are scaled down."""
        sums = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        shrink = max(1, -(-max(sums) // (MAX_COUNT - 1)))
        self.counts[:] = bytes(-(-count // shrink) for count in sums)

    def percentile(self, share: float) -> float | None:
        """The value that `share` of all values do not exceed; None without values."""
        wanted, seen = share * sum(self.counts), 0
        for slot, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                # The middle of the slot, by ratio.
                return float(self._least * 2 ** ((slot + 0.5) / STEPS_PER_DOUBLING))
        return None
