"""Small downloads alone, and beside streams of the same server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.cases import small, wanted
from benchmarks.load import Load
from benchmarks.measure import Bench, Variant, in_order, in_turns, named
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan, Plan
from benchmarks.result import Case, Sample

SMALL_CONNECTIONS, STREAMS = 4, 8
# The first buyers are the small connections', the rest the streams': a nonce has one line only.
BUYERS = SMALL_CONNECTIONS + STREAMS
_BESIDE = f"beside {STREAMS} streams"

Streams = Callable[[Variant], tuple[ConnectionPlan, ...]]
"""From a server to the streams that run beside, for buyers from `SMALL_CONNECTIONS` on."""


def cases(options: Options) -> list[Case]:
    """Return the wanted cases: alone and beside streams. Raises PartFailed when `--only` names none."""
    alone = small(SMALL_CONNECTIONS)
    return wanted([replace(alone, name=f"{alone.name}, {text}") for text in ("alone", _BESIDE)], options)


@dataclass(frozen=True, slots=True)
class Beside:
    """The parts that the runs share. `load`: the load generator of the streams; `bench` has that of small downloads."""

    bench: Bench
    load: Load
    streams: Streams

    def interleave(self, cases: Sequence[Case], variants: Sequence[Variant]) -> tuple[Sample, ...]:
        """Return all samples. Raises LoadFailed at the first wrong answer."""
        samples = []
        for case in cases:
            counts = {variant.name: self.bench.prove(case, variant) for variant in variants}
            for round_number, variant in in_turns(case.name, variants, self.bench.options.rounds):
                samples.append(self._sample(case, variant, round_number, counts[variant.name]))
        return in_order(samples, variants)

    def _sample(self, case: Case, variant: Variant, round_number: int, requests: int) -> Sample:
        seconds = self.bench.options.seconds
        if _BESIDE not in case.name:
            return self.bench.sample(case, variant, round_number, requests, seconds=seconds)
        plan = Plan(variant.port, self.streams(variant), endless=True)
        with named(f"{variant.name}, streams"), self.load.beside(plan) as results:
            sample = self.bench.sample(case, variant, round_number, requests, seconds=seconds)
        moved = results[0]
        return replace(sample, beside_bytes_per_second=moved.body_bytes / moved.seconds)
