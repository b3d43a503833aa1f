"""How costs grow with clients, processes, blocks, documents and waiting proofs."""

from benchmarks import machine
from benchmarks.curves import chain, memory, nonces, proofs, streams
from benchmarks.daemon import PartFailed
from benchmarks.measure import progress
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.transfers import circumstances

QUESTION = "How does the cost of each part grow with its work?"
NOTES = (
    "A bucket is taken of a client that was never seen, with as many clients known as are remembered.",
    "Nonces: every waiter is an address of its own; a use returns when it is on disk. CPU of the workers alone.",
    "Stops are how late a timer of a millisecond comes, beside the node on the same cores; one row reads nothing.",
    "Streams: both ends lie on this host, with small buffers and segments of 1448 bytes, as over a network.",
    "Work is the CPU time that the event loop took between two such timers.",
)
CURVES = {
    "memory": memory.rows,
    "proofs": proofs.rows,
    "chain": chain.rows,
    "nonces": nonces.rows,
    "streams": streams.rows,
}


def run(options: Options) -> Result:
    """Measure every curve, or with `--only` those whose name contains it."""
    load_before = machine.load_average()
    wanted = {name: rows for name, rows in CURVES.items() if options.only in name}
    if not wanted:
        raise PartFailed(f"no curve is named like {options.only!r}; there are: {', '.join(CURVES)}")
    found: list[Row] = []
    for name, rows in wanted.items():
        progress(f"{name}")
        found += rows(options)
    return Result("growth", QUESTION, (*machine.facts(), *circumstances(load_before, options)), NOTES, tuple(found))
