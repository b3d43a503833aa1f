"""What the scripts about the slice cache share: hits, fills by one reader and by fifty, each also without a cache."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks import haproxy, machine, nginx, peers, transfers
from benchmarks import stage as stages
from benchmarks.cases import MIB
from benchmarks.measure import Bench, Variant, in_order, in_turns
from benchmarks.options import Options
from benchmarks.result import Case, Result, Sample, summarise
from benchmarks.stage import OURS, Needs, Stage
from provider.demo.scenes.readings import scrape

CACHED = "provider, slice cache"
SERVERS = {OURS: {}, CACHED: {"PROVIDER_CACHE_DIR": "{disk}/slices", "PROVIDER_CACHE_FROM_REQUEST": "1"}}
RIVALS = {"× nginx cache": frozenset({nginx.CACHING}), "× haproxy": peers.HAPROXY, "× uncached": frozenset({OURS})}
READERS = 50
ONE, FIFTY = "fill, 1 reader", f"fill, {READERS} readers"
# Files of one size would be one file.
_STEP = 64 << 10
NOTES = (
    "A hit reads slices of 8 MiB that are on disk and in the page cache. The cache directories lie on the same disk.",
    f"A fill reads a file that was never asked for. With {READERS} readers, all of them read the whole of it at once.",
    "Without a cache, every reader costs the origin the whole file.",
)


def measured(script: str, question: str, options: Options, *, tls: bool) -> Result:
    """Start everything, measure, end everything."""
    load_before = machine.load_average()
    hits = _wanted(
        [replace(case, name=f"hit, {case.name}") for case in transfers.large_cases(options.large_bytes)[1:]], options
    )
    fills = _wanted(
        [
            Case(ONE, "GB", 1, 2, options.large_bytes // 2, 1),
            Case(FIFTY, "GB", READERS, 2 + options.rounds, options.large_bytes // 16, 1),
        ],
        options,
    )
    splice_or_copy = haproxy.COPYING if tls else haproxy.SPLICING
    rivals = (peers.nginx_peer(nginx.CACHING), peers.haproxy_peer(splice_or_copy))
    files = [transfers.WARM_BYTES, options.large_bytes, *_fill_sizes(options)]
    with stages.opened(Needs(files, rivals, SERVERS, tls=tls), options) as stage:
        variants = stage.variants(stage.buy(64))
        bench = stage.bench(Case("warm", "request", 1, 0, transfers.WARM_BYTES))
        for variant, case in ((variant, case) for variant in variants for case in hits[:1]):
            bench.run(variant, variant.plans(case, 1, 1))
        samples = [*bench.interleave(hits, variants), *_filled(bench, fills, variants, options)]
        told = _origin_bytes(stage)
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    notes = (transfers.CPU_NOTE, transfers.RATIO_NOTE, *NOTES, *told, *stage.notes)
    return Result(script, question, facts, notes, summarise([*hits, *fills], samples, rivals=RIVALS), tuple(samples))


def _wanted(cases: Sequence[Case], options: Options) -> list[Case]:
    return [case for case in cases if options.only in case.name]


def _fill_sizes(options: Options) -> list[int]:
    """Sizes of the files of fills: one file for each round and case."""
    steps = range(options.rounds)
    return [
        *(options.large_bytes // 2 + step * _STEP for step in steps),
        *(options.large_bytes // 16 + step * _STEP for step in steps),
    ]


def _filled(bench: Bench, cases: Sequence[Case], variants: Sequence[Variant], options: Options) -> Iterator[Sample]:
    for case in cases:
        samples = []
        for round_number, variant in in_turns(case.name, variants, options.rounds):
            of_round = replace(
                case,
                file_index=case.file_index + round_number,
                body_bytes=case.body_bytes + round_number * _STEP,
            )
            samples.append(bench.sample(of_round, variant, round_number, 1))
        yield from in_order(samples, variants)


def _origin_bytes(stage: Stage) -> tuple[str, ...]:
    server = stage.servers.get(CACHED)
    if server is None:
        return ()
    found = scrape(server.admin_url)
    fetched, sent = found.total("provider_slice_origin_bytes_total"), found.total("provider_sent_bytes_total")
    return (f"Over the whole run the slice cache fetched {fetched / MIB:.0f} MiB and sent {sent / MIB:.0f} MiB.",)
