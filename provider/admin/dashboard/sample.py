"""Computes rates, ratios and quantiles of the last seconds from counters. Pure."""

import math
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from provider.observability.metrics.metrics import DECLARED
from provider.observability.metrics.values import Readings
from provider.override import override

Labels = Mapping[str, str]
Reading = Mapping[str, Sequence[tuple[Labels, float]]]
"""Samples of one moment by name, of all workers; buckets of histograms are cumulative, as Prometheus has them."""

# Counts over a few seconds follow events closely. Quantiles of so few requests would jump, so they take longer.
RATE_SECONDS = 3.0
QUANTILE_SECONDS = 15.0
RECENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which samples readings have.

    Attributes:
        cells: names and label values, in the order of the readings that were packed.
        places: by name of the samples, where their values begin and the labels of each.
    """

    cells: Sequence[tuple[str, tuple[str, ...]]]
    places: Mapping[str, tuple[int, Sequence[Labels]]]


class PackedReading(Reading):
    """A reading in one piece of memory. Its samples are made when they are asked for.

    A moment is kept for a minute. As small objects, a thousand for each moment, its samples would settle in all parts
    of the heap, and after many streams none of those parts could go back to the system.
    """

    __slots__ = ("layout", "values_in_order")

    def __init__(self, layout: _Layout, values_in_order: "array[float]") -> None:
        self.layout, self.values_in_order = layout, values_in_order

    @override
    def __getitem__(self, name: str) -> Sequence[tuple[Labels, float]]:
        start, labels = self.layout.places[name]
        return list(zip(labels, self.values_in_order[start : start + len(labels)], strict=True))

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.places)

    @override
    def __len__(self) -> int:
        return len(self.layout.places)


def reading_of(readings: Readings, like: Reading | None = None) -> PackedReading:
    """Return the same readings with labels by name. `like`: an earlier one, which mostly has the same labels."""
    cells = [(name, values) for name, of_name in readings.items() for values in of_name]
    layout = like.layout if isinstance(like, PackedReading) and like.layout.cells == cells else _layout_of(cells)
    values_in_order = array("d")
    for of_name in readings.values():
        for value in of_name.values():
            values_in_order.extend(accumulate(value[1:]) if isinstance(value, list) else (value,))
    return PackedReading(layout, values_in_order)


def _layout_of(cells: Sequence[tuple[str, tuple[str, ...]]]) -> _Layout:
    places: dict[str, tuple[int, list[Labels]]] = {}
    start = 0
    for declared, values in cells:
        metric, name = DECLARED[declared], declared
        labels = dict(zip(metric.labels, values, strict=True))
        made: list[Labels] = [labels]
        if metric.kind == "histogram":
            name = f"{declared}_bucket"
            made = [{**labels, "le": bound} for bound in (*map(str, metric.buckets), "+Inf")]
        places.setdefault(name, (start, []))[1].extend(made)
        start += len(made)
    return _Layout(cells, places)


def by(reading: Reading, name: str, label: str, **where: str) -> dict[str, float]:
    """Return the sums by the values of a label."""
    sums: dict[str, float] = {}
    for labels, value in reading.get(name, ()):
        if label in labels and all(labels.get(key) == wanted for key, wanted in where.items()):
            sums[labels[label]] = sums.get(labels[label], 0.0) + value
    return sums


def total(reading: Reading, name: str) -> float:
    """Return the sum over all labels."""
    return sum(value for _, value in reading.get(name, ()))


def grown(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return the growth of each counter. One that has shrunk was restarted from 0."""
    return {key: max(0.0, value - before.get(key, 0.0)) for key, value in now.items()}


def quantile(rank: float, buckets: Mapping[str, float]) -> float | None:
    """Return a quantile of cumulative buckets by upper bound, as histogram_quantile of Prometheus; None if empty."""
    bounds = sorted((float(bound), count) for bound, count in buckets.items())
    if not bounds or not bounds[-1][1]:
        return None
    wanted = rank * bounds[-1][1]
    for (low, below), (high, count) in pairwise([(0.0, 0.0), *bounds]):
        if count >= wanted and count > below:
            return low if math.isinf(high) else low + (high - low) * (wanted - below) / (count - below)
    return None


def ratio(part: float, whole: float) -> float | None:
    """Return the ratio; None if `whole` is 0."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Moment:
    """All readings of one moment. `at`: monotonic seconds. `workers`: from `OwnFigures.take`."""

    at: float
    reading: Reading
    workers: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Window:
    """The moments of the last minute, and the figures computed from them."""

    moments: deque[Moment] = field(default_factory=deque)

    def add(self, moment: Moment) -> None:
        """Add a moment and drop those that are too old."""
        self.moments.append(moment)
        while moment.at - self.moments[0].at > RECENT_SECONDS + 1.0:
            self.moments.popleft()

    @property
    def latest(self) -> Reading | None:
        """The reading that was added last."""
        return self.moments[-1].reading if self.moments else None

    def before(self, seconds: float) -> Moment:
        """Return the moment that many seconds ago, or the earliest one; the last one before now if none is so young."""
        *earlier, latest = self.moments
        if not earlier:
            return latest
        return next((moment for moment in earlier if latest.at - moment.at <= seconds + 0.5), earlier[-1])

    def growth(self, name: str, label: str, seconds: float, **where: str) -> dict[str, float]:
        """Return the growth of counters over the last seconds, by a label."""
        now, then = self.moments[-1], self.before(seconds)
        return grown(by(now.reading, name, label, **where), by(then.reading, name, label, **where))

    def rates(self, name: str, label: str, **where: str) -> dict[str, float]:
        """Return the growth per second, by a label; empty before the second moment."""
        now, then = self.moments[-1], self.before(RATE_SECONDS)
        seconds = now.at - then.at
        if not seconds:
            return {}
        return {key: value / seconds for key, value in self.growth(name, label, RATE_SECONDS, **where).items()}

    def rate(self, name: str) -> float:
        """Return the growth per second of a counter, over all its labels."""
        now, then = self.moments[-1], self.before(RATE_SECONDS)
        seconds = now.at - then.at
        return max(0.0, total(now.reading, name) - total(then.reading, name)) / seconds if seconds else 0.0

    def quantiles(
        self, name: str, seconds: float = QUANTILE_SECONDS, **where: str
    ) -> tuple[float | None, float | None]:
        """Return the median and the 99th percentile of a histogram over the last seconds."""
        buckets = self.growth(f"{name}_bucket", "le", seconds, **where)
        return quantile(0.5, buckets), quantile(0.99, buckets)

    def worker_rates(self, key: str) -> dict[int, float]:
        """Return the growth per second of a figure of each worker, by process id."""
        then = {worker["pid"]: worker for worker in self.before(RATE_SECONDS).workers}
        rates: dict[int, float] = {}
        for worker in self.moments[-1].workers:
            earlier = then.get(worker["pid"])
            seconds = worker["at"] - earlier["at"] if earlier is not None else 0.0
            if earlier is not None and seconds > 0:
                rates[worker["pid"]] = max(0.0, worker[key] - earlier[key]) / seconds
        return rates

    def stream_rates(self) -> dict[tuple[int, int], float]:
        """Return the bytes per second of each listed stream, by process id and number."""
        then = {
            (worker["pid"], stream["number"]): (worker["at"], stream["sent_bytes"])
            for worker in self.before(RATE_SECONDS).workers
            for stream in worker["streams"]
        }
        rates: dict[tuple[int, int], float] = {}
        for worker in self.moments[-1].workers:
            for stream in worker["streams"]:
                key = (worker["pid"], stream["number"])
                at, sent_bytes = then.get(key, (worker["at"] - stream["age_seconds"], 0))
                seconds = worker["at"] - at
                rates[key] = max(0, stream["sent_bytes"] - sent_bytes) / seconds if seconds > 0 else 0.0
        return rates
