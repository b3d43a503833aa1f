"""Runs every variant through every case, interleaved in rounds, and takes the readings around each run."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks import processes
from benchmarks.load import ConnectionPlan, Load, LoadFailed, LoadResult, Plan
from benchmarks.options import Options
from benchmarks.result import Case, Sample

# Work that follows the last byte (access log, metrics, release of connections) belongs to the run.
SETTLE_SECONDS = 0.03
PROBE_REQUESTS = 100  # in all, to find out how many fit into the time of a run
MIN_REQUESTS = 20  # of each connection: fewer would measure the start of a run
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
    pools are warm; `upstream_requests`: reads the origin's counter.
    """

    load: Load
    options: Options
    warm_case: Case
    upstream_requests: Counter | None

    def interleave(self, cases: Sequence[Case], variants: Sequence[Variant]) -> tuple[Sample, ...]:
        """All samples. Raises LoadFailed at the first wrong answer."""
        samples: list[Sample] = []
        for case in cases:
            counts = {variant.name: self._prove(case, variant) for variant in variants}
            for round_number in range(self.options.rounds):
                _progress(f"{case.name}: round {round_number + 1} of {self.options.rounds}")
                # Another first one each round, so that no variant always follows the same neighbour.
                shift = round_number % len(variants)
                for variant in (*variants[shift:], *variants[:shift]):
                    samples.append(self._sample(case, variant, round_number, counts[variant.name]))
        order = {variant.name: position for position, variant in enumerate(variants)}
        return tuple(sorted(samples, key=lambda sample: order[sample.variant]))

    def _prove(self, case: Case, variant: Variant) -> int:
        """Check bodies before anything is measured; how many requests a connection sends in one run."""
        self._warm(case, variant)
        if case.requests is not None:
            # One whole body is enough to see that they are right, and hashing all of them would take long.
            self._run(variant, variant.plans(case, 1, 1)[:1])
            return case.requests
        each = max(1, PROBE_REQUESTS // case.connections)
        result = self._run(variant, variant.plans(case, each, each))
        total = min(MAX_REQUESTS, result.requests / result.seconds * self.options.seconds)
        return max(MIN_REQUESTS, round(total / case.connections))

    def _warm(self, case: Case, variant: Variant) -> None:
        warm = replace(self.warm_case, connections=case.connections)
        self._run(variant, variant.plans(warm, 1, 1))

    def _run(self, variant: Variant, connections: tuple[ConnectionPlan, ...]) -> LoadResult:
        try:
            return self.load.run(Plan(variant.port, connections))
        except LoadFailed as failure:
            raise LoadFailed(f"{variant.name}: {failure}") from failure

    def _sample(self, case: Case, variant: Variant, round_number: int, requests: int) -> Sample:
        self._warm(case, variant)
        # After the warm-up, because requests are good only in the order they are prepared.
        plan = Plan(variant.port, variant.plans(case, requests, 1 if case.requests is None else 0))
        pids = processes.tree(variant.pid)
        processes.reset_peak_rss(pids)
        upstream, rpc = _read(self.upstream_requests), _read(variant.rpc_round_trips)
        try:
            with self.load.connected(plan) as transfer:
                time.sleep(SETTLE_SECONDS)
                cpu_before = processes.cpu_seconds(pids)
                result = transfer.go()
                time.sleep(SETTLE_SECONDS)
                cpu_seconds = processes.cpu_seconds(pids) - cpu_before
        except LoadFailed as failure:
            raise LoadFailed(f"{variant.name}, {case.name}: {failure}") from failure
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
            peak_rss_bytes=processes.peak_rss_bytes(pids),
            upstream_requests=_since(self.upstream_requests, upstream),
            rpc_round_trips=_since(variant.rpc_round_trips, rpc),
        )


def _read(counter: Counter | None) -> int | None:
    return None if counter is None else counter()


def _since(counter: Counter | None, before: int | None) -> int | None:
    return None if counter is None or before is None else counter() - before


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
