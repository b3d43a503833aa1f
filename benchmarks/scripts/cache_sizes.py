"""What a slice cache of each size saves on a made-up trace: measured in traffic, and worked out for many slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice

from benchmarks import machine, transfers
from benchmarks import stage as stages
from benchmarks.cases import KIB, MIB, size, small
from benchmarks.daemon import PartFailed
from benchmarks.measure import Bench, Variant, in_turns, progress
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan
from benchmarks.result import HIT, UPSTREAM_BYTES, Case, Result, Row, Sample, cost_of, figure
from benchmarks.signing import Purchase, get_request
from benchmarks.stage import OURS, Needs, Stage
from benchmarks.zipf import Trace, hit_ratio
from provider.testing import pattern
from provider.testing.readings import scrape

QUESTION = "What does a slice cache of each size save when few files are read often and most seldom?"
EXPONENT, SEED = 0.8, 15
FILES, SLICES_OF_A_FILE = 64, 4
PERCENTS = (5, 10, 25, 50, 100)
CONNECTIONS = 8
# Of one run; a cache is filled by twice as many before the first.
READS = 256
PAPER_SLICES, PAPER_READS, QUICK_PAPER_READS = 20_000, 400_000, 40_000
PAPER_PERCENTS, PAPER_EXPONENTS = (1, 5, 10, 25, 50), (0.6, 0.8, 1.0)
_STEP_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True)
class _Run:
    """`hit_bytes`: of the body, those that were in a slice when they were asked for."""

    sample: Sample
    hit_bytes: float


def run(options: Options) -> Result:
    """Measure the traffic and work out the rest, or with `--only` what is named like it."""
    load_before = machine.load_average()
    traffic, paper = f"in traffic, Zipf {EXPONENT}", "on paper"
    if options.only not in traffic and options.only not in paper:
        raise PartFailed(f"no case is named like {options.only!r}; there are: {traffic}, {paper}")
    rows: list[Row] = []
    runs: Mapping[str, Sequence[_Run]] = {}
    facts, notes = tuple(machine.facts()), [_paper_note(options)]
    if options.only in traffic:
        with stages.opened(_needs(options), options) as stage:
            runs = _sampled(stage, Case(traffic, "GB", CONNECTIONS, 1, _slice_bytes(options), READS // CONNECTIONS))
        rows += _rows(runs)
        facts, notes = stage.facts, [_traffic_note(options), *notes, *stage.notes]
    if options.only in paper:
        rows += _on_paper(paper, options)
    facts = (*facts, *transfers.circumstances(load_before, options))
    samples = tuple(run for group in runs.values() for run in group)
    return Result("cache_sizes", QUESTION, facts, tuple(notes), tuple(rows), samples)


def _slice_bytes(options: Options) -> int:
    """Return the size of a slice. All files together are twice what a large run moves, half of it in a quick run."""
    total_bytes = options.large_bytes * 2 // (4 if options.is_quick else 1)
    return max(_STEP_BYTES, total_bytes // (FILES * SLICES_OF_A_FILE))


def _needs(options: Options) -> Needs:
    slice_bytes = _slice_bytes(options)
    total_bytes = FILES * SLICES_OF_A_FILE * slice_bytes
    servers: dict[str, Mapping[str, str]] = {OURS: {}}
    for percent in PERCENTS:
        servers[f"cache of {percent} %"] = {
            "PROVIDER_CACHE_DIR": f"{{disk}}/slices-{percent}",
            "PROVIDER_CACHE_BYTES": str(max(MIB, total_bytes * percent // 100)),
            "PROVIDER_CACHE_SLICE_BYTES": str(slice_bytes),
        }
    # Files of one size would be one file. What is longer than the slices is never asked for.
    sizes = [SLICES_OF_A_FILE * slice_bytes + number * _STEP_BYTES for number in range(FILES)]
    return Needs([transfers.WARM_BYTES, *sizes], servers=stages.wanted(servers, options), tls=True)


def _sampled(stage: Stage, case: Case) -> Mapping[str, Sequence[_Run]]:
    """Return the runs by variant. The beginning of the trace fills the caches; the rest is dealt out to the rounds."""
    purchases, bench, rounds = stage.buy(CONNECTIONS), stage.bench(small(1)), stage.options.rounds
    trace = list(islice(Trace(FILES * SLICES_OF_A_FILE, EXPONENT, SEED).reads(), (2 + rounds) * READS))
    variants = stage.variants(purchases)
    for variant in variants:
        progress(f"{variant.name}: filling")
        bench.run(variant, _plans(variant, purchases, case, trace[: 2 * READS]))
    runs: dict[str, list[_Run]] = {variant.name: [] for variant in variants}
    for number, variant in in_turns(case.name, variants, rounds):
        part = trace[(2 + number) * READS : (3 + number) * READS]
        runs[variant.name].append(_sample(stage, bench, _reading(variant, purchases, case, part), case, number))
    return runs


def _reading(variant: Variant, purchases: Sequence[Purchase], case: Case, part: Sequence[int]) -> Variant:
    """Return the same server, which is asked for that part of the trace where it is asked for the case."""

    def plans(asked: Case, requests: int, verified: int) -> tuple[ConnectionPlan, ...]:
        if asked is not case:
            return variant.plans(asked, requests, verified)
        return _plans(variant, purchases, case, part)

    return replace(variant, plans=plans)


def _sample(stage: Stage, bench: Bench, variant: Variant, case: Case, number: int) -> _Run:
    admin_url = stage.servers[variant.name].admin_url
    before = scrape(admin_url)
    sample = bench.sample(case, variant, number, READS // CONNECTIONS)
    read = scrape(admin_url).since(before)
    return _Run(sample, read.total("provider_slice_read_bytes_total", result="hit"))


def _plans(
    variant: Variant, purchases: Sequence[Purchase], case: Case, part: Sequence[int]
) -> tuple[ConnectionPlan, ...]:
    """Deal the reads out to the connections. The last body of each is verified."""
    return tuple(
        _plan(variant, purchases[number], case.body_bytes, part[number::CONNECTIONS]) for number in range(CONNECTIONS)
    )


def _plan(variant: Variant, purchase: Purchase, slice_bytes: int, reads: Sequence[int]) -> ConnectionPlan:
    requests = []
    for read in reads:
        file, start = read // SLICES_OF_A_FILE, read % SLICES_OF_A_FILE * slice_bytes
        requests.append(get_request(variant.port, purchase.target(1 + file), (start, start + slice_bytes)))
    digest = sha256(b"".join(pattern.pieces(start, start + slice_bytes))).hexdigest()
    return ConnectionPlan(tuple(requests), 206, slice_bytes, digest, verified=1)


def _rows(runs: Mapping[str, Sequence[_Run]]) -> list[Row]:
    return [
        Row(
            group[0].sample.case,
            name,
            (
                *figure(UPSTREAM_BYTES, [_share(run.sample.upstream_bytes, run) for run in group], 3),
                *figure(HIT, [_share(100 * run.hit_bytes, run) for run in group]),
                *figure("CPU s/GB", [cost_of(run.sample, "GB") for run in group], 3),
                *figure("MB/s", [run.sample.body_bytes / 1e6 / run.sample.seconds for run in group]),
                *figure("p50 ms", [1000 * run.sample.p50_seconds for run in group], 1),
                *figure("p99 ms", [1000 * run.sample.p99_seconds for run in group], 1),
            ),
        )
        for name, group in runs.items()
    ]


def _share(count_bytes: float | None, run: _Run) -> float | None:
    return None if count_bytes is None else count_bytes / max(1, run.sample.body_bytes)


def _on_paper(case: str, options: Options) -> list[Row]:
    reads = QUICK_PAPER_READS if options.is_quick else PAPER_READS
    rows = []
    for percent in PAPER_PERCENTS:
        for exponent in PAPER_EXPONENTS:
            ratio = hit_ratio(Trace(PAPER_SLICES, exponent, SEED), PAPER_SLICES * percent // 100, reads)
            name = f"{case}, cache of {percent} %"
            rows.append(
                Row(name, f"Zipf {exponent}", (*figure(HIT, [100 * ratio]), *figure(UPSTREAM_BYTES, [1 - ratio], 2)))
            )
    return rows


def _traffic_note(options: Options) -> str:
    slice_bytes = _slice_bytes(options)
    return (
        f"In traffic: {FILES} files of {SLICES_OF_A_FILE} slices of {size(slice_bytes)} from an origin over HTTPS. "
        f"A request is for one slice; {READS} in a run over {CONNECTIONS} connections, after {2 * READS} that filled "
        f"the cache; seed {SEED}. Caches are in per cent of all slices. A file is kept from its second request on."
    )


def _paper_note(options: Options) -> str:
    reads = QUICK_PAPER_READS if options.is_quick else PAPER_READS
    return (
        f"On paper: {PAPER_SLICES:,} slices, {reads:,} reads, of which the second half counts, seed {SEED}; the "
        "server's own eviction, without files and connections."
    )
