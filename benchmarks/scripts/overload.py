"""Twice as many small downloads as the server can serve, sent whether or not it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from benchmarks import machine, peers, transfers
from benchmarks import stage as stages
from benchmarks.cases import small
from benchmarks.measure import Variant, in_turns, named, progress
from benchmarks.open_loop import OpenPlan, OpenResult, offer
from benchmarks.options import Options
from benchmarks.result import Result, Row, figure
from benchmarks.stage import OURS, Needs

QUESTION = "At twice the load that it can bear: how much is still served, and how soon are the others refused?"
OFF = "provider, admission off"
SERVERS: dict[str, dict[str, str]] = {OURS: {}, OFF: {"PROVIDER_OVERLOAD_LAG_SECONDS": "0"}}
# Enough that requests wait in the server, where it can tell, and not in the load generator.
CONSUMERS = 1024
PEAK_CONNECTIONS = (16, 64)
SETTLE_SECONDS = 2.0
# More than any server here has served.
MOST_PER_SECOND = 6000.0
STRETCH = 8  # an overload lasts longer than a run of anything else
TIMES = 2.0
WARM_PER_SECOND = 300.0
GOODPUT = "served, % of peak"
NOTES = (
    "The peak is the best of closed loops over 16 and 64 connections by the same consumers, without admission, in the "
    "same round right before.",
    "Served times count from when a request was due, also while it waits for a free connection of the generator.",
    "What is served counts from the beginning, times from the third second on: the server needs one to tell.",
    "The bare Tornado handler gets the same load, which it can bear. Its times are the least that this load can show.",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one variant."""

    variant: str
    peak_per_second: float
    result: OpenResult


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    load_before = machine.load_average()
    with stages.opened(Needs([transfers.WARM_BYTES], [peers.hello_peer()], SERVERS), options) as stage:
        variants = stage.variants(stage.buy(CONSUMERS))
        off = next(variant for variant in variants if variant.name == OFF)
        samples = [_sample(variant, off, options) for _, variant in in_turns("overload", variants, options.rounds)]
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    rows = tuple(_row([sample for sample in samples if sample.variant == variant.name]) for variant in variants)
    return Result("overload", QUESTION, facts, (*NOTES, *stage.notes), rows, tuple(samples))


def _sample(variant: Variant, off: Variant, options: Options) -> Sample:
    for either in (off, variant):
        _warm(either)
    peak = max(_peak(off, connections, options) for connections in PEAK_CONNECTIONS)
    seconds, rate = options.seconds * STRETCH, peak * TIMES
    case = small(CONSUMERS)
    each = int(rate * seconds / CONSUMERS * 3) + 20
    requests = tuple(connection.requests for connection in variant.plans(case, each, 0))
    with named(variant.name):
        result = offer(OpenPlan(variant.port, requests, rate, seconds, settle_seconds=SETTLE_SECONDS))
    progress(
        f"{variant.name}: peak {peak:.0f}/s; of {rate:.0f}/s served {result.served / seconds:.0f}/s, "
        f"p99 {result.served_p99_seconds * 1e3:.0f} ms, refused p99 {result.refused_p99_seconds * 1e3:.1f} ms"
    )
    return Sample(variant.name, peak, result)


def _warm(variant: Variant) -> None:
    """Make the order of each consumer known. All at once would itself be an overload."""
    requests = tuple(connection.requests for connection in variant.plans(small(CONSUMERS), 2, 0))
    with named(f"{variant.name}, warm-up"):
        offer(OpenPlan(variant.port, requests, WARM_PER_SECOND, CONSUMERS / WARM_PER_SECOND))


def _peak(variant: Variant, connections: int, options: Options) -> float:
    """Return the requests per second of a closed loop by all consumers in turn."""
    seconds = options.seconds * 2
    each = int(MOST_PER_SECOND * seconds / CONSUMERS) + 1
    own = [connection.requests for connection in variant.plans(small(CONSUMERS), each, 0)]
    shared = tuple(tuple(chain.from_iterable(zip(*own[i::connections], strict=True))) for i in range(connections))
    return offer(OpenPlan(variant.port, shared, MOST_PER_SECOND, seconds)).served / seconds


def _row(samples: Sequence[Sample]) -> Row:
    results = [sample.result for sample in samples]
    return Row(
        "1 KiB, twice the peak",
        samples[0].variant,
        (
            *figure(GOODPUT, [s.result.served / s.result.seconds / s.peak_per_second * 100 for s in samples]),
            *figure("peak/s", [sample.peak_per_second for sample in samples]),
            *figure("offered/s", [result.offered / result.seconds for result in results]),
            *figure("served/s", [result.served / result.seconds for result in results]),
            *figure("served p50 ms", [result.served_p50_seconds * 1e3 for result in results], 1),
            *figure("served p99 ms", [result.served_p99_seconds * 1e3 for result in results], 1),
            *figure("refused, %", [result.refused / result.offered * 100 for result in results]),
            *figure("refused p50 ms", [result.refused_p50_seconds * 1e3 for result in results], 2),
            *figure("refused p99 ms", [result.refused_p99_seconds * 1e3 for result in results], 2),
            *figure("without answer", [result.lost for result in results]),
        ),
    )
