"""What a script measured: samples in, medians with their spread out (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Per = Literal["request", "GB"]


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

    Counts of upstream requests and JSON-RPC round trips are None where nobody counts them.
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
    peak_rss_bytes: int
    upstream_requests: int | None
    rpc_round_trips: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """All samples of one variant in one case. `cost`: µs of CPU a request, or seconds of CPU a GB (10^9 bytes).

    `ratio`: cost next to the rival's; None when there is no rival. `rpc_round_trips`: of all samples together.
    """

    case: str
    per: Per
    variant: str
    samples: int
    cost: float
    cost_min: float
    cost_max: float
    ratio: float | None
    megabytes_per_second: float
    requests_per_second: float
    p50_seconds: float
    p99_seconds: float
    peak_rss_bytes: int
    upstream_per_request: float | None
    rpc_round_trips: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run of a script. `facts`: the machine and the circumstances; `notes`: what a reader must know."""

    script: str
    question: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    samples: tuple[Sample, ...]


def cost_of(sample: Sample, per: Per) -> float:
    """µs of CPU a request, or seconds of CPU a GB."""
    if per == "request":
        return sample.cpu_seconds / sample.requests * 1e6
    return sample.cpu_seconds / (sample.body_bytes / 1e9)


def summarise(cases: Sequence[Case], samples: Sequence[Sample], *, rivals: frozenset[str]) -> tuple[Row, ...]:
    """A row for each case and variant, in the order of the samples. The cheapest of `rivals` is what costs are
    compared with.
    """
    rows = []
    for case in cases:
        groups: dict[str, list[Sample]] = {}
        for sample in samples:
            if sample.case == case.name:
                groups.setdefault(sample.variant, []).append(sample)
        costs = {variant: median(cost_of(sample, case.per) for sample in group) for variant, group in groups.items()}
        rival = min((cost for variant, cost in costs.items() if variant in rivals), default=None)
        rows += [_row(case, variant, group, rival) for variant, group in groups.items()]
    return tuple(rows)


def _row(case: Case, variant: str, group: Sequence[Sample], rival_cost: float | None) -> Row:
    costs = [cost_of(sample, case.per) for sample in group]
    cost = median(costs)
    requests = sum(sample.requests for sample in group)
    upstream = _total(sample.upstream_requests for sample in group)
    return Row(
        case=case.name,
        per=case.per,
        variant=variant,
        samples=len(group),
        cost=cost,
        cost_min=min(costs),
        cost_max=max(costs),
        ratio=cost / rival_cost if rival_cost else None,
        megabytes_per_second=median(sample.body_bytes / 1e6 / sample.seconds for sample in group),
        requests_per_second=median(sample.requests / sample.seconds for sample in group),
        p50_seconds=median(sample.p50_seconds for sample in group),
        p99_seconds=median(sample.p99_seconds for sample in group),
        peak_rss_bytes=int(median(sample.peak_rss_bytes for sample in group)),
        upstream_per_request=None if upstream is None else upstream / requests,
        rpc_round_trips=_total(sample.rpc_round_trips for sample in group),
    )


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
