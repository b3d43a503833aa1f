"""Computes rates, ratios and quantiles of the last seconds from counters. Pure."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from provider.observability.metrics.metrics import DECLARED
from provider.observability.metrics.values import Readings

Reading = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Samples of one moment by name, of all workers; buckets of histograms are cumulative, as Prometheus has them."""

# Counts over a few seconds follow events closely. Quantiles of so few requests would jump, so they take longer.
RATE_SECONDS = 3.0
QUANTILE_SECONDS = 15.0
RECENT_SECONDS = 60.0


def reading_of(readings: Readings) -> Reading:
    """Return the same readings with labels by name."""
    reading: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for name, cells in readings.items():
        metric = DECLARED[name]
        bounds = (*map(str, metric.buckets), "+Inf")
        for values, value in cells.items():
            labels = dict(zip(metric.labels, values, strict=True))
            if not isinstance(value, list):
                reading.setdefault(name, []).append((labels, value))
            elif metric.kind == "histogram":
                reading.setdefault(f"{name}_bucket", []).extend(
                    ({**labels, "le": bound}, below) for bound, below in zip(bounds, accumulate(value[1:]), strict=True)
                )
    return reading


def by(reading: Reading, name: str, label: str, **where: str) -> dict[str, float]:
    """Return the sums by the values of a label."""
    sums: dict[str, float] = {}
    for labels, value in reading.get(name, ()):
        if label in labels and all(labels.get(key) == wanted for key, wanted in where.items()):
            sums[labels[label]] = sums.get(labels[label], 0.0) + value
    return sums


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

    def before(self, seconds: float) -> Moment:
        """Return the moment that many seconds ago, or the earliest one."""
        latest = self.moments[-1]
        return next(
            (moment for moment in self.moments if latest.at - moment.at <= seconds + 0.5),
            latest,
        )

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
