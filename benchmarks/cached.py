"""The common part of the scripts about the slice cache: hits and fills, by one and by fifty readers.

Each case also runs without a cache.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from benchmarks import fresh, haproxy, machine, nginx, peers, transfers, varnish
from benchmarks import stage as stages
from benchmarks.options import Options
from benchmarks.result import Case, Result, summarise
from benchmarks.stage import OURS, Needs

CACHED = "provider, slice cache"
SERVERS = {OURS: {}, CACHED: {"PROVIDER_CACHE_DIR": "{disk}/slices", "PROVIDER_CACHE_FROM_REQUEST": "1"}}
RIVALS = {
    "× nginx cache": frozenset({nginx.CACHING}),
    "× Varnish": frozenset({varnish.CACHING}),
    "× haproxy": peers.HAPROXY,
    "× uncached": frozenset({OURS}),
}
READERS = 50
ONE, FIFTY = "fill, 1 reader", f"fill, {READERS} readers"
NOTES = (
    "A hit reads slices of 8 MiB that are on disk and in the page cache. The cache directories lie on the same disk.",
    f"A fill reads a file that was never asked for. With {READERS} readers, all of them read the whole of it at once.",
    "Varnish keeps whole files in memory. It speaks no TLS to origins: haproxy does it there, and counts with it.",
    "Without a cache, every reader costs the origin the whole file.",
)


def measured(script: str, question: str, options: Options, *, tls: bool) -> Result:
    """Start everything, measure, and end everything."""
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
    rivals = (peers.nginx_peer(nginx.CACHING), peers.varnish_peer(), peers.haproxy_peer(splice_or_copy))
    sizes = [fresh.sizes(whole, options.rounds) for whole in (options.large_bytes // 2, options.large_bytes // 16)]
    files = [transfers.WARM_BYTES, options.large_bytes, *chain.from_iterable(sizes)]
    servers = stages.wanted(SERVERS, options)
    # Rivals ask for no purchase.
    buyers = max(case.connections for case in (*hits, *fills)) if any(map(options.wants, servers)) else 0
    with stages.opened(Needs(files, rivals, servers, tls=tls), options) as stage:
        variants = stage.variants(stage.buy(buyers) if buyers else ())
        bench = stage.bench(Case("warm", "request", 1, 0, transfers.WARM_BYTES))
        for variant, case in ((variant, case) for variant in variants for case in hits[:1]):
            bench.run(variant, variant.plans(case, 1, 1))
        samples = list(bench.interleave(hits, variants))
        for case in fills:
            samples += fresh.sampled(bench, case, variants, options.rounds)
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    notes = (transfers.CPU_NOTE, transfers.RATIO_NOTE, *NOTES, *stage.notes)
    return Result(script, question, facts, notes, summarise([*hits, *fills], samples, rivals=RIVALS), tuple(samples))


def _wanted(cases: Sequence[Case], options: Options) -> list[Case]:
    return [case for case in cases if options.only in case.name]
