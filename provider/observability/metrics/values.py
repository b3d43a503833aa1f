"""The values of metrics: counted in plain dicts, copied out as a snapshot, merged over several workers.

Keyed on tuples of label values, because that is all that counting needs: one look-up and one addition.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from provider.observability.metrics.catalog import FAMILIES
from provider.observability.metrics.family import Family

Labels = tuple[str, ...]
Value = float | list[float]
"""A number; of a histogram its sum and the count of each bucket, +Inf last; of a summary its sum and its count."""
Readings = dict[str, dict[Labels, Value]]
"""By family name, by label values in the catalog's order."""
Snapshot = dict[str, list[tuple[list[str], Value]]]
"""The same as JSON can hold it."""


class Counter:
    """Numbers that grow."""

    __slots__ = ("family", "values")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.values: dict[tuple[object, ...], float] = {}

    def add(self, labels: tuple[object, ...] = (), amount: float = 1) -> None:
        """Add to the number of these labels."""
        values = self.values
        values[labels] = values.get(labels, 0) + amount

    def items(self) -> Iterable[tuple[tuple[object, ...], Value]]:
        """Labels and values."""
        return self.values.items()


class Gauge(Counter):
    """Numbers that are set."""

    __slots__ = ()

    def set(self, value: float, labels: tuple[object, ...] = ()) -> None:
        """The number of these labels from here on."""
        self.values[labels] = value


class Histogram:
    """Observations counted by bucket, and their sum."""

    __slots__ = ("_bounds", "family", "values")

    def __init__(self, family: Family) -> None:
        self.family = family
        self._bounds = family.buckets
        self.values: dict[tuple[object, ...], list[float]] = {}

    def observe(self, value: float, labels: tuple[object, ...] = ()) -> None:
        """Count one observation."""
        cell = self.values.get(labels)
        if cell is None:
            cell = self.begin(labels)
        cell[0] += value
        cell[1 + bisect_left(self._bounds, value)] += 1

    def begin(self, labels: tuple[object, ...] = ()) -> list[float]:
        """Expose these labels from here on, with zeros."""
        return self.values.setdefault(labels, [0.0, *([0] * (len(self._bounds) + 1))])

    def items(self) -> Iterable[tuple[tuple[object, ...], Value]]:
        """Labels and values."""
        return self.values.items()


class Summary:
    """Sums and counts that are kept elsewhere and set as they are now."""

    __slots__ = ("family", "values")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.values: dict[tuple[object, ...], list[float]] = {}

    def set(self, total: float, count: float, labels: tuple[object, ...] = ()) -> None:
        """Sum and count of these labels from here on."""
        self.values[labels] = [total, count]

    def items(self) -> Iterable[tuple[tuple[object, ...], Value]]:
        """Labels and values."""
        return self.values.items()


Instrument = Counter | Histogram | Summary


def take_snapshot(instruments: Iterable[Instrument]) -> Snapshot:
    """The values of now; lists are not copied, so it is to be used before anything is counted again."""
    return {
        instrument.family.name: [([str(label) for label in labels], value) for labels, value in instrument.items()]
        for instrument in instruments
    }


def merge(living: Iterable[Snapshot], ended: Iterable[Snapshot] = ()) -> Readings:
    """One reading of several snapshots. Of workers that have ended only what is summed for good counts."""
    readings: Readings = {name: {} for name in FAMILIES}
    for snapshot in living:
        _merge_in(readings, snapshot, gauges=True)
    for snapshot in ended:
        _merge_in(readings, snapshot, gauges=False)
    return readings


def snapshot_of(readings: Mapping[str, Mapping[Labels, Value]]) -> Snapshot:
    """What `merge` gave, to be merged once more."""
    return {name: [(list(labels), value) for labels, value in cells.items()] for name, cells in readings.items()}


def _merge_in(readings: Readings, snapshot: Snapshot, *, gauges: bool) -> None:
    for name, cells in snapshot.items():
        family = FAMILIES.get(name)
        if family is None or (family.kind == "gauge" and not gauges):
            continue
        merged = readings[name]
        for names, value in cells:
            labels = tuple(names)
            held = merged.get(labels)
            merged[labels] = _copied(value) if held is None else _both(family, held, value)


def _copied(value: Value) -> Value:
    return list(value) if isinstance(value, list) else value


def _both(family: Family, held: Value, value: Value) -> Value:
    if isinstance(held, list) and isinstance(value, list):
        return [one + other for one, other in zip(held, value, strict=True)]
    if isinstance(held, list) or isinstance(value, list):
        raise TypeError(f"{family.name}: a number met a list")
    if family.merge == "max":
        return max(held, value)
    return min(held, value) if family.merge == "min" else held + value
