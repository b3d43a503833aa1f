"""What a script measured: samples in, medians with their spread out (pure)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Literal

Per = Literal["request", "GB"]
COST_TITLES: Mapping[Per, str] = {"request": "CPU µs/request", "GB": "CPU s/GB"}
RATE_TITLES: Mapping[Per, str] = {"request": "requests/s", "GB": "MB/s"}
FIRST_BYTE, FIRST_BYTE_P99 = "first byte p50 ms", "first byte p99 ms"
RPC, UPSTREAM = "RPC/request", "upstream/request"
UPSTREAM_BYTES, HIT = "origin bytes/byte", "hit %"
SPREAD = "last/first of first bytes"


@dataclass(frozen=True, slots=True)
class Case:
    """One load, the same for every variant.

    `per`: what the CPU time is divided by; `file_index`: which of the files on stage; `body_bytes`: of each answer,
    less than the file for a part of it; `requests`: of each connection, None for as many as a run has time for.
    """

    name: str
    per: Per
    connections: int
    file_index: int
    body_bytes: int
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run. CPU time is that of all processes of the variant, the kernel's part included.

    Counts of upstream requests and bytes and JSON-RPC round trips are None where nobody counts them.
    `beside_bytes_per_second`: what other streams of the same server moved meanwhile.
    """

    case: str
    variant: str
    round: int
    seconds: float
    requests: int
    body_bytes: int
    cpu_seconds: float
    p50_seconds: float
    p99_seconds: float
    first_byte_p50_seconds: float
    first_byte_p99_seconds: float
    peak_rss_bytes: int
    upstream_requests: int | None
    rpc_round_trips: int | None
    beside_bytes_per_second: float | None = None
    upstream_bytes: int | None = None
    first_byte_min_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of a row: median of the rounds and their spread. `title` says what it is, with the unit."""

    title: str
    median: float
    low: float
    high: float
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """All figures of one variant in one case; the first one is the row's answer to the script's question."""

    case: str
    variant: str
    figures: tuple[Figure, ...]

    def figure(self, title: str) -> Figure | None:
        """The figure with that title."""
        return next((figure for figure in self.figures if figure.title == title), None)


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run of a script. `facts`: the machine and the circumstances; `notes`: what a reader must know;
    `samples`: everything that the rows come from, as dataclasses.
    """

    script: str
    question: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    samples: tuple[Any, ...] = field(default=(), repr=False)

    def row(self, case: str, variant: str) -> Row | None:
        """The row of a variant in a case."""
        return next((row for row in self.rows if (row.case, row.variant) == (case, variant)), None)


def figure(title: str, values: Iterable[float | None], digits: int = 0) -> tuple[Figure, ...]:
    """The figure of some samples, in a tuple; an empty one where nobody counted."""
    known = [value for value in values if value is not None]
    return (Figure(title, median(known), min(known), max(known), digits),) if known else ()


def cost_of(sample: Sample, per: Per) -> float:
    """µs of CPU a request, or seconds of CPU a GB (10^9 bytes)."""
    if per == "request":
        return sample.cpu_seconds / max(1, sample.requests) * 1e6
    return sample.cpu_seconds / (max(1, sample.body_bytes) / 1e9)


def transfer_figures(case: Case, group: Sequence[Sample]) -> tuple[Figure, ...]:
    """Every figure of one variant in one case."""
    per = case.per

    def each(title: str, value: Callable[[Sample], float | None], digits: int = 0) -> tuple[Figure, ...]:
        return figure(title, (value(sample) for sample in group), digits)

    rates: Mapping[Per, Callable[[Sample], float]] = {
        "request": lambda sample: sample.requests / sample.seconds,
        "GB": lambda sample: sample.body_bytes / 1e6 / sample.seconds,
    }
    return (
        *each(COST_TITLES[per], lambda sample: cost_of(sample, per), 0 if per == "request" else 3),
        *each(RATE_TITLES[per], rates[per]),
        *each("p50 ms", lambda sample: sample.p50_seconds * 1000, 2),
        *each("p99 ms", lambda sample: sample.p99_seconds * 1000, 2),
        *each(FIRST_BYTE, lambda sample: sample.first_byte_p50_seconds * 1000, 2),
        *each(FIRST_BYTE_P99, lambda sample: sample.first_byte_p99_seconds * 1000, 2),
        *each("peak RSS MB", lambda sample: sample.peak_rss_bytes / 1e6),
        *(each(SPREAD, _spread, 2) if 1 < case.connections <= 100 and case.requests == 1 else ()),
        *each(UPSTREAM, lambda sample: _per_request(sample.upstream_requests, sample), 3),
        *(each(UPSTREAM_BYTES, _upstream_share, 3) if per == "GB" else ()),
        *each(RPC, lambda sample: _per_request(sample.rpc_round_trips, sample), 3),
        *each("MB/s beside", lambda sample: _megabytes(sample.beside_bytes_per_second)),
    )


def summarise(
    cases: Sequence[Case],
    samples: Sequence[Sample],
    *,
    rivals: Mapping[str, frozenset[str]] | None = None,
    answer: str | None = None,
) -> tuple[Row, ...]:
    """A row for each case and variant, in the order of the samples.

    `rivals`: titles of ratios, and the variants the cheapest of which is what the answer is compared with; `answer`:
    title of the figure that comes first, the CPU cost if none is given.
    """
    rows: list[Row] = []
    for case in cases:
        groups: dict[str, list[Sample]] = {}
        for sample in samples:
            if sample.case == case.name:
                groups.setdefault(sample.variant, []).append(sample)
        found = [Row(case.name, variant, transfer_figures(case, group)) for variant, group in groups.items()]
        if answer is not None:
            found = [replace(row, figures=_first(row.figures, answer)) for row in found]
        rows += compared(found, rivals or {})
    return tuple(rows)


def compared(rows: Sequence[Row], rivals: Mapping[str, frozenset[str]]) -> list[Row]:
    """The rows of one case with ratios of their first figure to that of rivals, put behind it."""
    ratios: list[tuple[str, float]] = []
    for title, names in rivals.items():
        best = min((row.figures[0].median for row in rows if row.variant in names), default=0.0)
        if best > 0:
            ratios.append((title, best))
    return [replace(row, figures=_with_ratios(row.figures, ratios)) for row in rows]


def _with_ratios(figures: tuple[Figure, ...], ratios: Sequence[tuple[str, float]]) -> tuple[Figure, ...]:
    first, *rest = figures
    compared_with = (
        Figure(title, first.median / best, first.low / best, first.high / best, 2) for title, best in ratios
    )
    return (first, *compared_with, *rest)


def _first(figures: Sequence[Figure], title: str) -> tuple[Figure, ...]:
    return tuple(sorted(figures, key=lambda each: each.title != title))


def _per_request(count: int | None, sample: Sample) -> float | None:
    return None if count is None else count / max(1, sample.requests)


def _upstream_share(sample: Sample) -> float | None:
    return None if sample.upstream_bytes is None else sample.upstream_bytes / max(1, sample.body_bytes)


def _spread(sample: Sample) -> float | None:
    """With a request on each connection: how much later the last one had its first byte."""
    return sample.first_byte_p99_seconds / sample.first_byte_min_seconds if sample.first_byte_min_seconds else None


def _megabytes(bytes_per_second: float | None) -> float | None:
    return None if bytes_per_second is None else bytes_per_second / 1e6
