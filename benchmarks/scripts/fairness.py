"""Small downloads beside large streams: how long they take, next to rivals that move the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks import haproxy, machine, peers, transfers
from benchmarks import stage as stages
from benchmarks.cases import small, wanted
from benchmarks.load import Load
from benchmarks.measure import Bench, Variant, in_order, in_turns, named
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan, Plan
from benchmarks.processes import pin, tree
from benchmarks.result import Case, Result, Sample, summarise
from benchmarks.stage import Needs

QUESTION = "How long do small downloads take while 8 large streams run, next to the same alone?"
SMALL_CONNECTIONS, STREAMS = 4, 8
STREAM_REQUESTS = 8  # of each stream: more than any run has time for
BESIDE = "beside 8 streams"
PEERS = (*peers.nginx_tuned(), peers.haproxy_peer(haproxy.SPLICING))
NOTES = (
    "CPU µs/request beside streams holds the streams' part too; MB/s beside is what the streams moved meanwhile.",
    "The streams' consumers share their cores with origin and load: a server that moves more makes its clients wait.",
)


@dataclass(frozen=True, slots=True)
class _Hall:
    """What the runs of this script share; `streams` is the load generator of the large ones."""

    bench: Bench
    streams: Load
    large: Case
    seconds: float

    def sample(self, case: Case, variant: Variant, round_number: int, requests: int) -> Sample:
        """Small downloads for a time, beside streams if the case says so. Raises LoadFailed."""
        if BESIDE not in case.name:
            return self.bench.sample(case, variant, round_number, requests, seconds=self.seconds)
        connections = variant.plans(self.large, STREAM_REQUESTS, 0)[SMALL_CONNECTIONS:]
        with named(f"{variant.name}, streams"), self.streams.beside(_endless(variant, connections)) as results:
            sample = self.bench.sample(case, variant, round_number, requests, seconds=self.seconds)
        moved = results[0]
        return replace(sample, beside_bytes_per_second=moved.body_bytes / moved.seconds)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    alone = small(SMALL_CONNECTIONS)
    cases = wanted([replace(alone, name=f"{alone.name}, {text}") for text in ("alone", BESIDE)], options)
    load_before = machine.load_average()
    needs = Needs([transfers.WARM_BYTES, options.large_bytes], PEERS)
    with stages.opened(needs, options) as stage, Load() as streams:
        pin(tree(streams.pid), stage.others)
        variants = stage.variants(stage.buy(SMALL_CONNECTIONS + STREAMS))
        # The first buyers are the small connections', the rest the streams': a nonce has one line only.
        large = Case("stream", "GB", SMALL_CONNECTIONS + STREAMS, 1, options.large_bytes, requests=1)
        hall = _Hall(stage.bench(small(1)), streams, large, options.seconds)
        samples = _interleave(hall, cases, variants, options)
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    rows = summarise(cases, samples, answer="p99 ms", rivals={"× nginx": peers.NGINX_TUNED, "× haproxy": peers.HAPROXY})
    return Result("fairness", QUESTION, facts, (*NOTES, *stage.notes), rows, samples)


def _interleave(
    hall: _Hall, cases: Sequence[Case], variants: Sequence[Variant], options: Options
) -> tuple[Sample, ...]:
    samples = []
    for case in cases:
        counts = {variant.name: hall.bench.prove(case, variant) for variant in variants}
        for round_number, variant in in_turns(case.name, variants, options.rounds):
            samples.append(hall.sample(case, variant, round_number, counts[variant.name]))
    return in_order(samples, variants)


def _endless(variant: Variant, connections: tuple[ConnectionPlan, ...]) -> Plan:
    return Plan(variant.port, connections, endless=True)
