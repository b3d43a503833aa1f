"""Warm authorised downloads through our server, next to the same bytes through nginx without any authorisation."""

from benchmarks import machine, nginx
from benchmarks import stage as stages
from benchmarks.failures import PartFailed
from benchmarks.measure import Bench
from benchmarks.options import Options
from benchmarks.result import Case, Result, summarise

QUESTION = (
    "What does a warm authorised 1 KiB download cost, and a large one, next to nginx proxy_pass on the same origin?"
)
SMALL_BYTES = 1024
SMALL_FILE, LARGE_FILE = 0, 1
LARGE_CONNECTIONS = (1, 8, 64)
KEEP_ALIVE_CONNECTIONS = (1, 16)
NOTES = (
    "CPU: all processes of the variant, kernel included; median of the rounds. × nginx: next to the cheaper tuning.",
    "Ours checks signature, nonce (durable before the answer), order, fee and access each time; nginx checks nothing.",
    "RPC: JSON-RPC round trips of the server during all runs, following the chain for its metadata index included.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    cases = [case for case in _cases(options.large_bytes) if options.only in case.name]
    if not cases:
        raise PartFailed(f"no case is named like {options.only!r}")
    load_before = machine.load_average()
    with stages.opened([SMALL_BYTES, options.large_bytes], storage=options.storage) as stage:
        bench = Bench(stage.load, options, _small(1), stage.origin.requests_seen)
        ours = stage.ours(stage.buy(max(case.connections for case in cases)))
        samples = bench.interleave(cases, [ours, *stage.rivals()])
    facts = (
        *stage.facts,
        ("load average", f"{load_before} before, {machine.load_average()} after"),
        ("rounds", str(options.rounds)),
    )
    rows = summarise(cases, samples, rivals=nginx.TUNED)
    return Result("warm_download", QUESTION, facts, (*NOTES, *stage.notes), rows, samples)


def _small(connections: int) -> Case:
    name = f"1 KiB, {connections} keep-alive connection{'s' if connections > 1 else ''}"
    return Case(name, "request", connections, SMALL_FILE, SMALL_BYTES)


def _large(connections: int, large_bytes: int) -> Case:
    part = large_bytes // connections
    name = f"large: {connections} × {_size(part)}"
    return Case(name, "GB", connections, LARGE_FILE, part, requests=1)


def _cases(large_bytes: int) -> list[Case]:
    small = [_small(connections) for connections in KEEP_ALIVE_CONNECTIONS]
    return [*small, *(_large(connections, large_bytes) for connections in LARGE_CONNECTIONS)]


def _size(count_bytes: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if count_bytes % unit == 0:
            return f"{count_bytes // unit} {name}"
    return f"{count_bytes / 1024:g} KiB"
