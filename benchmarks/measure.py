"""Runs every variant through every case, interleaved in rounds, and takes the readings around each run."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from benchmarks import processes
from benchmarks.load import Load
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan, LoadFailed, LoadResult, Plan
from benchmarks.result import Case, Sample

# Work after the last byte (access log, metrics, release of connections) belongs to the run.
SETTLE_SECONDS = 0.03
PROBE_REQUESTS = 100  # in all, to find out how many fit into the time of a run
PROBE_LARGE_REQUESTS = 16  # the same for answers of which fewer fit
LARGE_BYTES = 512 << 10
MIN_REQUESTS = 20  # of each connection, as fewer would measure the start of a run, unless that takes
MAX_STRETCH = 3  # times as long as a run is to take
MAX_REQUESTS = 200_000  # in all, because requests are prepared in memory

Plans = Callable[[Case, int, int], tuple[ConnectionPlan, ...]]
Counter = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Variant:
    """One server under test.

    `pid`: root of its processes; `plans`: connections for a case, with so many requests each, of which the last
    so many are verified; `rpc_round_trips`: reads its counter, None when it has none.
    """

    name: str
    pid: int
    port: int
    plans: Plans
    rpc_round_trips: Counter | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share. `warm_case`: one request of it on each connection precedes every run, so that caches and
    pools are warm; `upstream_requests`, `upstream_bytes`: read the origin's counters.
    """

    load: Load
    options: Options
    warm_case: Case
    upstream_requests: Counter | None
    upstream_bytes: Counter | None = None

    def interleave(self, cases: Sequence[Case], variants: Sequence[Variant]) -> tuple[Sample, ...]:
        """Return all samples. Raises LoadFailed at the first wrong answer."""
        samples: list[Sample] = []
        for case in cases:
            counts = {variant.name: self.prove(case, variant) for variant in variants}
            for round_number, variant in in_turns(case.name, variants, self.options.rounds):
                samples.append(self.sample(case, variant, round_number, counts[variant.name]))
        return in_order(samples, variants)

    def prove(self, case: Case, variant: Variant) -> int:
        """Check bodies before anything is measured. Returns how many requests a connection sends in one run."""
        self.warm(case, variant)
        if case.requests is not None:
            # One whole body is enough to see that they are right. Hashing all of them would take long.
            self.run(variant, variant.plans(case, 1, 1)[:1])
            return case.requests
        probe = PROBE_LARGE_REQUESTS if case.body_bytes >= LARGE_BYTES else PROBE_REQUESTS
        each = max(1, probe // case.connections)
        result = self.run(variant, variant.plans(case, each, each))
        total = min(MAX_REQUESTS, result.requests / result.seconds * self.options.seconds)
        fitting = total / case.connections
        return max(1, round(fitting), min(MIN_REQUESTS, round(fitting * MAX_STRETCH)))

    def warm(self, case: Case, variant: Variant) -> None:
        """Send one small request on each connection."""
        warm = replace(self.warm_case, connections=case.connections)
        self.run(variant, variant.plans(warm, 1, 1))

    def run(self, variant: Variant, connections: tuple[ConnectionPlan, ...]) -> LoadResult:
        """Do a run that is not measured. Raises LoadFailed with the name of the variant."""
        with named(variant.name):
            return self.load.run(Plan(variant.port, connections))

    def sample(
        self, case: Case, variant: Variant, round_number: int, requests: int, *, seconds: float | None = None
    ) -> Sample:
        """Do one measured run. `seconds` ends it early. Raises LoadFailed."""
        self.warm(case, variant)
        # After the warm-up, because requests are only valid in the order in which they are prepared.
        plan = Plan(variant.port, variant.plans(case, requests, 1 if case.requests is None else 0), seconds)
        pids = processes.tree(variant.pid)
        processes.reset_peak_rss(pids)
        upstream, rpc = _read(self.upstream_requests), _read(variant.rpc_round_trips)
        upstream_bytes = _read(self.upstream_bytes)
        with named(f"{variant.name}, {case.name}"), self.load.connected(plan) as transfer:
            time.sleep(SETTLE_SECONDS)
            cpu_before = processes.cpu_seconds(pids)
            result = transfer.go()
            time.sleep(SETTLE_SECONDS)
            cpu_seconds = processes.cpu_seconds(pids) - cpu_before
        return Sample(
            case=case.name,
            variant=variant.name,
            round=round_number,
            seconds=result.seconds,
            requests=result.requests,
            body_bytes=result.body_bytes,
            cpu_seconds=cpu_seconds,
            p50_seconds=result.p50_seconds,
            p99_seconds=result.p99_seconds,
            first_byte_p50_seconds=result.first_byte_p50_seconds,
            first_byte_p99_seconds=result.first_byte_p99_seconds,
            peak_rss_bytes=processes.peak_rss_bytes(pids),
            upstream_requests=_since(self.upstream_requests, upstream),
            rpc_round_trips=_since(variant.rpc_round_trips, rpc),
            upstream_bytes=_since(self.upstream_bytes, upstream_bytes),
            first_byte_min_seconds=result.first_byte_min_seconds,
        )


V = TypeVar("V")


def in_turns(name: str, variants: Sequence[V], rounds: int) -> Iterator[tuple[int, V]]:
    """Yield round numbers and variants.

    Each round begins with another variant, so that none always follows the same neighbour.
    """
    for round_number in range(rounds):
        progress(f"{name}: round {round_number + 1} of {rounds}")
        shift = round_number % len(variants)
        for variant in (*variants[shift:], *variants[:shift]):
            yield round_number, variant


def in_order(samples: Sequence[Sample], variants: Sequence[Variant]) -> tuple[Sample, ...]:
    """Return the samples in the order of the variants, not in the order of measuring."""
    order = {variant.name: position for position, variant in enumerate(variants)}
    return tuple(sorted(samples, key=lambda sample: order[sample.variant]))


@contextmanager
def named(what: str) -> Iterator[None]:
    """Add the name of the variant to the text of a LoadFailed."""
    try:
        yield
    except LoadFailed as failure:
        raise LoadFailed(f"{what}: {failure}") from failure


def progress(text: str) -> None:
    """Report on stderr what is being measured."""
    print(text, file=sys.stderr, flush=True)


def _read(counter: Counter | None) -> int | None:
    return None if counter is None else counter()


def _since(counter: Counter | None, before: int | None) -> int | None:
    return None if counter is None or before is None else counter() - before
