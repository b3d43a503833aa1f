"""Readings in the text format of Prometheus."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from provider.observability.metrics.catalog import FAMILIES
from provider.observability.metrics.family import Family
from provider.observability.metrics.values import Labels, Readings, Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(readings: Readings) -> bytes:
    """Every family of the catalog, in its order, also those without a sample."""
    registry = CollectorRegistry()
    registry.register(_Collector(readings))
    text: bytes = generate_latest(registry)
    return text


def families_of(readings: Readings) -> Iterator[Metric]:
    """The same as the library's own values."""
    for family in FAMILIES.values():
        # The library adds the ending of counters where a format has it.
        metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
        for labels, value in readings[family.name].items():
            _add(metric, family, labels, value)
        yield metric


class _Collector:
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> list[Metric]:
        """Nothing: what is registered here is read once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """As the library's registry asks."""
        return families_of(self._readings)


def _add(metric: Metric, family: Family, labels: Labels, value: Value) -> None:
    named = dict(zip(family.labels, labels, strict=True))
    if not isinstance(value, list):
        metric.add_sample(family.name, named, value)
        return
    if family.kind == "summary":
        total, count = value
    else:
        total, counts = value[0], list(accumulate(value[1:]))
        count = counts[-1]
        for bound, below in zip((*map(str, family.buckets), "+Inf"), counts, strict=True):
            metric.add_sample(f"{family.name}_bucket", {**named, "le": bound}, below)
    metric.add_sample(f"{family.name}_count", named, count)
    metric.add_sample(f"{family.name}_sum", named, total)
