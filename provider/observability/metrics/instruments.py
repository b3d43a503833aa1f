"""Instruments: each one declares a metric, and holds its values in one process.

Values are kept in plain dicts with tuples of label values as keys: counting is one lookup and one addition.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Generic, Literal, TypeVar

from provider.override import override

_JSON_BITS = 63
Kind = Literal["counter", "gauge", "histogram", "summary"]
Merge = Literal["sum", "max", "min"]
LabelValues = tuple[object, ...]
Value = float | list[float]
"""A number; of a histogram its sum and the count of each bucket, +Inf last; of a summary its sum and its count."""
Snapshot = dict[str, list[tuple[list[str], Value]]]
"""Label values and value of each cell, by name of the metric, as JSON can hold it."""
Cell = TypeVar("Cell", float, list[float])


class Metric(Generic[Cell]):
    """What all kinds share.

    name: as it is exposed, with its unit.
    help: what it measures, for Prometheus and `docs/metrics.md`.
    labels: name of each label, and in words the values it takes.
    buckets: upper bounds of a histogram.
    merge: how the values of several workers become one. Only gauges choose; all others are summed.
    begin: label values that are exposed from the start, with zeros. Without them a first count is no increase for
        Prometheus, and alerts miss it.
    """

    kind: ClassVar[Kind]
    __slots__ = ("buckets", "followed", "help", "labels", "merge", "name", "started", "values")

    def __init__(
        self,
        name: str,
        help: str,
        labels: Mapping[str, str] | None = None,
        *,
        buckets: tuple[float, ...] = (),
        merge: Merge = "sum",
        begin: Iterable[LabelValues] = (),
    ) -> None:
        self.name, self.help, self.labels = name, help, labels or {}
        self.buckets: tuple[float, ...] = buckets
        self.merge: Merge = merge
        self.started = tuple(begin)
        self.values: dict[LabelValues, Cell] = {}
        self.followed: dict[LabelValues, Callable[[], Cell | None]] = {}
        for values in self.started:
            self.begin(*values)

    def begin(self, *labels: object) -> None:
        """Expose these label values from the start. Raises TypeError if a label is missing."""
        if len(labels) != len(self.labels):
            raise TypeError(f"{self.name} has {len(self.labels)} labels, not {len(labels)}")
        self.values.setdefault(labels, self._zero())

    def follow(self, read: Callable[[], Cell | None], *labels: object) -> None:
        """Expose the result of `read` each time metrics are read. If it returns None, the value stays as it was."""
        self.followed[labels] = read

    def look(self) -> None:
        """Read the values that are followed."""
        for labels, read in self.followed.items():
            value = read()
            if value is not None:
                self.values[labels] = value

    def cells(self) -> list[tuple[list[str], Value]]:
        """Return all current values. Lists are not copied."""
        return [([str(label) for label in labels], _writable(value)) for labels, value in self.values.items()]

    def _zero(self) -> Cell:
        raise NotImplementedError


def _writable(value: Value) -> Value:
    """A number that JSON can hold: of more than 64 bits the nearest float. One of them would stop all others."""
    return float(value) if isinstance(value, int) and value.bit_length() > _JSON_BITS else value


class Counter(Metric[float]):
    """A number that only grows."""

    kind = "counter"
    __slots__ = ()

    def add(self, *labels: object, by: float = 1) -> None:
        """Add to the number with these label values."""
        try:
            self.values[labels] += by
        except KeyError:
            self.begin(*labels)
            self.values[labels] += by

    @override
    def _zero(self) -> float:
        return 0


class Gauge(Metric[float]):
    """A number that goes up and down."""

    kind = "gauge"
    _read_all: Callable[[], dict[LabelValues, float]] | None = None

    def set(self, value: float, *labels: object) -> None:
        """Replace the number with these label values."""
        self.values[labels] = value

    def follow_all(self, read: Callable[[], dict[LabelValues, float]]) -> None:
        """Expose exactly the result of `read` each time metrics are read: label values may come and go."""
        self._read_all = read

    @override
    def look(self) -> None:
        super().look()
        if self._read_all is not None:
            self.values = self._read_all()

    @override
    def _zero(self) -> float:
        return 0


class Histogram(Metric[list[float]]):
    """Observations counted by bucket."""

    kind = "histogram"
    __slots__ = ()

    def observe(self, value: float, *labels: object) -> None:
        """Count one observation."""
        cell = self.values.get(labels)
        if cell is None:
            self.begin(*labels)
            cell = self.values[labels]
        cell[0] += value
        cell[1 + bisect_left(self.buckets, value)] += 1

    @override
    def _zero(self) -> list[float]:
        return [0.0, *([0] * (len(self.buckets) + 1))]


class Summary(Metric[list[float]]):
    """A sum and a count that are kept elsewhere, and read when metrics are read."""

    kind = "summary"
    __slots__ = ()

    @override
    def _zero(self) -> list[float]:
        return [0.0, 0]


class _Off:
    """Overrides that make an instrument count nothing."""

    __slots__ = ()

    def begin(self, *labels: object) -> None:
        pass

    def follow(self, read: Callable[[], object], *labels: object) -> None:
        pass


class _OffCounter(_Off, Counter):
    __slots__ = ()

    @override
    def add(self, *labels: object, by: float = 1) -> None:
        pass


class _OffGauge(_Off, Gauge):
    __slots__ = ()

    @override
    def set(self, value: float, *labels: object) -> None:
        pass

    @override
    def follow_all(self, read: Callable[[], dict[LabelValues, float]]) -> None:
        pass


class _OffHistogram(_Off, Histogram):
    __slots__ = ()

    @override
    def observe(self, value: float, *labels: object) -> None:
        pass


class _OffSummary(_Off, Summary):
    __slots__ = ()


Instrument = Counter | Gauge | Histogram | Summary
_OFF: Mapping[type[Instrument], type[Instrument]] = {
    Counter: _OffCounter,
    Gauge: _OffGauge,
    Histogram: _OffHistogram,
    Summary: _OffSummary,
}


class Group:
    """The metrics of one topic. A subclass declares each of them once, as a class attribute.

    Every object of the subclass has instruments of its own. With `is_on` False they are null: they count nothing.
    """

    title: ClassVar[str]

    def __init__(self, *, is_on: bool = True) -> None:
        self.instruments: list[Instrument] = []
        """Those that count, in the order of their declarations."""
        for name, declared in self.declared().items():
            kind = type(declared) if is_on else _OFF[type(declared)]
            own = kind(
                declared.name,
                declared.help,
                declared.labels,
                buckets=declared.buckets,
                merge=declared.merge,
                begin=declared.started,
            )
            setattr(self, name, own)
            if is_on:
                self.instruments.append(own)

    @classmethod
    def declared(cls) -> Mapping[str, Instrument]:
        """The declarations by attribute, in their order."""
        return {name: value for name, value in vars(cls).items() if isinstance(value, Instrument)}
