"""One column of a Parquet file, which DuckDB reads over links, and over nginx's links to the same origin."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles

from benchmarks import cases as shapes
from benchmarks import machine, nginx, peers, processes, transfers
from benchmarks import stage as stages
from benchmarks.daemon import PartFailed
from benchmarks.machine import ROOT
from benchmarks.measure import SETTLE_SECONDS, in_turns
from benchmarks.options import Options
from benchmarks.result import FIRST_BYTE, FIRST_BYTE_P99, Case, Result, Sample, summarise
from benchmarks.scripts.links import LINK, link_paths
from benchmarks.stage import OURS, Needs, Stage, rpc_round_trips

QUESTION = (
    "What does a column of a Parquet file cost that 1, 4 and 16 readers read over links, next to nginx's own links?"
)
READERS = (sys.executable, "-m", "benchmarks.column_readers")
READINGS_PER_SECOND = 8  # about what two cores read; it sets the length of a run
CASES = tuple(
    Case(f"one column, {shapes.count(readers, 'reader')}", "request", readers, 1, 0) for readers in (1, 4, 16)
)
NOTES = (
    "A request is here one reading of the column: the end of the file, then a range of each of the ten row groups.",
    "The readers are DuckDB, which keeps nothing between two readings, and take most of the time.",
)
UNTIMED = (FIRST_BYTE, FIRST_BYTE_P99)  # a reader does not tell
TOOLS = ("duckdb", "duckdb_extension_httpfs", "pyarrow")


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The file's place at one server. `urls`: one for each reader."""

    name: str
    pid: int
    urls: Sequence[str]
    is_ours: bool


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    if missing := [name for name in TOOLS if find_spec(name) is None]:
        raise PartFailed(f"skipped, because not installed: {', '.join(missing)}")
    cases = shapes.wanted(CASES, options)
    load_before = machine.load_average()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "trips.parquet"
        total = _write(table)
        needs = Needs((transfers.WARM_BYTES,), (peers.secure_link_peer(),), copies=(table,))
        with stages.opened(needs, options) as stage:
            shelves = [shelf for shelf in _shelves(stage, cases) if options.wants(shelf.name)]
            samples = [
                _sample(stage, case, shelf, round_number, total)
                for case in cases
                for round_number, shelf in in_turns(case.name, shelves, options.rounds)
            ]
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    ordered = tuple(sample for shelf in shelves for sample in samples if sample.variant == shelf.name)
    rows = summarise(cases, ordered, rivals={"× nginx": frozenset({nginx.SECURE_LINK})})
    timed = [replace(row, figures=tuple(each for each in row.figures if each.title not in UNTIMED)) for row in rows]
    notes = (transfers.CPU_NOTE, *NOTES, *stage.notes)
    return Result("link_columns", QUESTION, facts, notes, tuple(timed), ordered)


def _write(path: Path) -> float:
    """Write the table. Returns the sum of the column that is read."""
    done = subprocess.run([*READERS, "write", str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _shelves(stage: Stage, cases: Sequence[Case]) -> list[_Shelf]:
    most = max(case.connections for case in cases)
    server = stage.servers[OURS]
    urls = [server.url + link_paths(server.url, purchase)[1] for purchase in stage.buy(most)]
    found = [_Shelf(LINK, server.child.pid, urls, is_ours=True)]
    for name, (_, daemon) in stage.peers.items():
        url = f"http://127.0.0.1:{daemon.port}{nginx.secure_link(stage.files[1].path)}"
        found.append(_Shelf(name, daemon.pid, [url] * most, is_ours=False))
    return found


def _sample(stage: Stage, case: Case, shelf: _Shelf, round_number: int, total: float) -> Sample:
    """Do one run of all readers of a case. Raises PartFailed if one of them read wrong values."""
    readings = max(1, round(stage.options.seconds * READINGS_PER_SECOND / case.connections))
    order = {"urls": shelf.urls[: case.connections], "readings": readings}
    with subprocess.Popen(
        [*READERS, "read"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as readers:
        assert readers.stdin is not None
        assert readers.stdout is not None
        processes.pin(processes.tree(readers.pid), stage.others)
        print(json.dumps(order), file=readers.stdin, flush=True)
        if readers.stdout.readline() != "ready\n":
            raise PartFailed(f"{shelf.name}: the readers have failed")
        pids = processes.tree(shelf.pid)
        processes.reset_peak_rss(pids)
        seen, server = stage.origin.requests_seen, stage.servers[OURS]
        asked, rpc = seen() if seen else 0, rpc_round_trips(server)
        cpu_before = processes.cpu_seconds(pids)
        print(file=readers.stdin, flush=True)
        done = json.loads(readers.stdout.readline() or "{}")
        time.sleep(SETTLE_SECONDS)
        cpu_seconds = processes.cpu_seconds(pids) - cpu_before
    if not done or any(abs(found - total) > 1e-6 * total for found in done["sums"]):
        raise PartFailed(f"{shelf.name}: a reader has not read the column")
    latencies = done["latencies"]
    p99 = quantiles(latencies, n=100)[-1] if len(latencies) > 1 else latencies[0]
    return Sample(
        case=case.name,
        variant=shelf.name,
        round=round_number,
        seconds=done["seconds"],
        requests=len(latencies),
        body_bytes=0,
        cpu_seconds=cpu_seconds,
        p50_seconds=median(latencies),
        p99_seconds=min(p99, max(latencies)),
        first_byte_p50_seconds=0.0,
        first_byte_p99_seconds=0.0,
        peak_rss_bytes=processes.peak_rss_bytes(pids),
        upstream_requests=seen() - asked if seen else None,
        rpc_round_trips=rpc_round_trips(server) - rpc if shelf.is_ours else None,
    )
