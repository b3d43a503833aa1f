"""A made-up trace of reads: few parts of many files are read often, most seldom (pure, from a seed)."""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from provider.slices.eviction import Eviction


@dataclass(frozen=True, slots=True)
class Trace:
    """`slices` things, of which the k-th most wanted is asked for 1 / k^`exponent` times as often as the first.

    L. Breslau et al., "Web caching and Zipf-like distributions", INFOCOM 1999, measured exponents of 0.64 to 0.83 for
    web pages.
    """

    slices: int
    exponent: float
    seed: int

    def reads(self) -> Iterator[int]:
        """Yield numbers of slices, without end. Which slice is wanted most comes from the seed as well."""
        chance = random.Random(self.seed)
        by_rank = list(range(self.slices))
        chance.shuffle(by_rank)
        bounds = list(accumulate(1 / rank**self.exponent for rank in range(1, self.slices + 1)))
        while True:
            yield by_rank[bisect_right(bounds, chance.random() * bounds[-1], hi=self.slices - 1)]


def hit_ratio(trace: Trace, kept: int, requests: int) -> float:
    """Return the share of reads that a cache of `kept` slices answers, by the server's own eviction.

    The first half of the requests fills it and does not count.
    """

    def nobody_reads(_: str) -> bool:
        return False

    eviction, reads = Eviction(), trace.reads()
    hits = 0
    for number in range(requests):
        name = str(next(reads))
        if name in eviction:
            eviction.use(name)
            hits += number >= requests // 2
            continue
        eviction.add(name, 1)
        while len(eviction) > kept:
            eviction.evict(nobody_reads)
    return hits / (requests - requests // 2)
