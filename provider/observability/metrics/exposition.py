"""Writes readings in the text format of Prometheus."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from provider.observability.metrics.instruments import Instrument, Value
from provider.observability.metrics.metrics import DECLARED
from provider.observability.metrics.values import Labels, Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(readings: Readings) -> bytes:
    """Write all declared metrics in their order, also those without a sample."""
    registry = CollectorRegistry()
    registry.register(_Collector(readings))
    text: bytes = generate_latest(registry)
    return text


def families_of(readings: Readings) -> Iterator[Metric]:
    """Convert readings into objects of the client library."""
    for declared in DECLARED.values():
        # The library adds the suffix of counters, if the format has one.
        metric = Metric(declared.name.removesuffix("_total"), declared.help, declared.kind)
        for labels, value in readings[declared.name].items():
            _add(metric, declared, labels, value)
        yield metric


class _Collector:
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> list[Metric]:
        """Return nothing, because this collector is read once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the values for the library's registry."""
        return families_of(self._readings)


def _add(metric: Metric, declared: Instrument, labels: Labels, value: Value) -> None:
    named = dict(zip(declared.labels, labels, strict=True))
    if not isinstance(value, list):
        metric.add_sample(declared.name, named, value)
        return
    if declared.kind == "summary":
        total, count = value
    else:
        total, counts = value[0], list(accumulate(value[1:]))
        count = counts[-1]
        for bound, below in zip((*map(str, declared.buckets), "+Inf"), counts, strict=True):
            metric.add_sample(f"{declared.name}_bucket", {**named, "le": bound}, below)
    metric.add_sample(f"{declared.name}_count", named, count)
    metric.add_sample(f"{declared.name}_sum", named, total)
