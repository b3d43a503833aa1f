"""Merges the snapshots of several workers into one reading. Pure."""

from collections.abc import Iterable, Mapping

from provider.observability.metrics.instruments import Instrument, Snapshot, Value
from provider.observability.metrics.metrics import DECLARED

Labels = tuple[str, ...]
Readings = dict[str, dict[Labels, Value]]
"""By name of the metric, by label values in the order of its declaration."""


def merge(living: Iterable[Snapshot], ended: Iterable[Snapshot] = ()) -> Readings:
    """Merge snapshots into one reading. Gauges of workers that have ended do not count."""
    readings: Readings = {name: {} for name in DECLARED}
    for snapshot in living:
        _merge_in(readings, snapshot, gauges=True)
    for snapshot in ended:
        _merge_in(readings, snapshot, gauges=False)
    return readings


def snapshot_of(readings: Mapping[str, Mapping[Labels, Value]]) -> Snapshot:
    """Return the reading as a snapshot, so that it can be merged again."""
    return {name: [(list(labels), value) for labels, value in cells.items()] for name, cells in readings.items()}


def _merge_in(readings: Readings, snapshot: Snapshot, *, gauges: bool) -> None:
    for name, cells in snapshot.items():
        metric = DECLARED.get(name)
        if metric is None or (metric.kind == "gauge" and not gauges):
            continue
        merged = readings[name]
        for names, value in cells:
            labels = tuple(names)
            held = merged.get(labels)
            merged[labels] = _copied(value) if held is None else _both(metric, held, value)


def _copied(value: Value) -> Value:
    return list(value) if isinstance(value, list) else value


def _both(metric: Instrument, held: Value, value: Value) -> Value:
    if isinstance(held, list) and isinstance(value, list):
        return [one + other for one, other in zip(held, value, strict=True)]
    if isinstance(held, list) or isinstance(value, list):
        raise TypeError(f"{metric.name}: a number met a list")
    if metric.merge == "max":
        return max(held, value)
    return min(held, value) if metric.merge == "min" else held + value
