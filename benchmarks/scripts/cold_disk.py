"""Small downloads beside large files that come from a slow disk and are not in memory."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks import beside, fresh, machine, nginx, peers, throttle, transfers
from benchmarks import stage as stages
from benchmarks.cases import small
from benchmarks.load import Load
from benchmarks.measure import Variant
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan
from benchmarks.processes import pin, tree
from benchmarks.result import Case, Result, summarise
from benchmarks.stage import Needs

QUESTION = "How long do small downloads take while 8 files of a GiB are read from a slow disk?"
DISK_BYTES_PER_SECOND = 50_000_000
# Longer runs than elsewhere: what has to wait for a disk waits seldom and long.
STRETCH = 5
NOTES = (
    "Before each run the large files leave the page cache; the small one stays in it.",
    "nginx reads in its one worker, which stops for the disk. It has no thread pool here, as by default.",
    "MB/s beside is what the eight streams got of the disk.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    cases = beside.cases(options)
    load_before = machine.load_average()
    folder = options.storage or Path(tempfile.gettempdir())
    needs = Needs(
        [transfers.WARM_BYTES, *fresh.sizes(options.large_bytes, beside.STREAMS)], (peers.nginx_static(),), local=True
    )
    with (
        throttle.throttled(folder, DISK_BYTES_PER_SECOND) as slow,
        stages.opened(needs, options) as stage,
        Load() as load,
    ):
        pin(tree(load.pid), stage.others)
        variants = stage.variants(stage.buy(beside.BUYERS))
        large_paths = [stage.root / file.path.removeprefix("/") for file in stage.files[1:]]

        def streams(variant: Variant) -> tuple[ConnectionPlan, ...]:
            for path in large_paths:
                _forget(path)
            return tuple(
                _stream(variant, number, stage.files[1 + number].size_bytes) for number in range(beside.STREAMS)
            )

        bench = stage.bench(small(1))
        bench = replace(bench, options=replace(options, seconds=STRETCH * options.seconds))
        for variant in variants:
            slow.slow(tree(variant.pid))
        samples = beside.Beside(bench, load, streams).interleave(cases, variants)
    facts = (*stage.facts, ("disk", slow.label), *transfers.circumstances(load_before, options))
    rows = summarise(cases, samples, answer="p99 ms", rivals={"× nginx": frozenset({nginx.STATIC})})
    return Result("cold_disk", QUESTION, facts, (*NOTES, *stage.notes), rows, samples)


def _stream(variant: Variant, number: int, size_bytes: int) -> ConnectionPlan:
    """Each stream has a whole file of its own, and a buyer."""
    buyer = beside.SMALL_CONNECTIONS + number
    case = Case("stream", "GB", buyer + 1, 1 + number, size_bytes, requests=1)
    return variant.plans(case, 1, 0)[buyer]


def _forget(path: Path) -> None:
    """Take a file out of the page cache (posix_fadvise(2)); what is not on the disk yet could not leave."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
