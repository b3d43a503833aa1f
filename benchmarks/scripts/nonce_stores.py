"""The nonce store alone: durable uses per second, with 1 and 64 waiting, from one and two processes."""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import uvloop

from benchmarks import machine
from benchmarks.cases import count
from benchmarks.daemon import PartFailed
from benchmarks.measure import progress
from benchmarks.options import Options
from benchmarks.origins import MEMORY_FOLDER
from benchmarks.plans import percentile
from benchmarks.result import Result, Row, figure
from benchmarks.transfers import circumstances
from provider.auth.sqlite_store import SqliteNonceStore

QUESTION = "How many nonces a second can be used durably, and what does each cost?"
WAITERS, PROCESSES = (1, 64), (1, 2)
RATE = "nonces/s"
START_SECONDS = 30.0
NOTES = (
    "Every waiter is an address of its own that uses one nonce after the other; a use returns when it is on disk.",
    "In memory: the same store where syncing costs nothing, which tells the disk's part from SQLite's and ours.",
    "CPU: of the processes that use the store, its thread included; not the kernel's own threads that write.",
)


@dataclass(frozen=True, slots=True)
class Use:
    """The result of one run, for all processes together. Seconds are those of the slowest one."""

    case: str
    variant: str
    round: int
    seconds: float
    nonces: int
    cpu_seconds: float
    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class _Part:
    """What one process did."""

    seconds: float
    cpu_seconds: float
    latencies: tuple[float, ...]


def run(options: Options) -> Result:
    """Use stores in fresh folders."""
    load_before = machine.load_average()
    uses: list[Use] = []
    kinds = [(waiters, processes) for processes in PROCESSES for waiters in WAITERS]
    wanted = [kind for kind in kinds if options.only in _case(*kind)]
    if not wanted:
        raise PartFailed(f"no case is named like {options.only!r}")
    with tempfile.TemporaryDirectory(prefix="provider-bench-", dir=options.storage) as name:
        disk = Path(name)
        places = {f"SQLite on {machine.file_system(disk)}": options.storage}
        if MEMORY_FOLDER.is_dir() and machine.file_system(disk) not in machine.MEMORY_FILE_SYSTEMS:
            places["SQLite in memory"] = MEMORY_FOLDER
        for waiters, processes in wanted:
            for round_number in range(options.rounds):
                progress(f"{_case(waiters, processes)}: round {round_number + 1} of {options.rounds}")
                for variant, parent in places.items():
                    with tempfile.TemporaryDirectory(prefix="provider-bench-", dir=parent) as folder:
                        parts = _parts(Path(folder) / "nonces.db", waiters, processes, options.seconds)
                    uses.append(_use(_case(waiters, processes), variant, round_number, parts))
    rows = tuple(
        _row(case, variant, [use for use in uses if (use.case, use.variant) == (case, variant)])
        for case in (_case(*kind) for kind in wanted)
        for variant in places
    )
    facts = (*machine.facts(), *circumstances(load_before, options))
    return Result("nonce_stores", QUESTION, facts, NOTES, rows, tuple(uses))


def _case(waiters: int, processes: int) -> str:
    return f"{count(waiters, 'waiter')} in {processes} process{'es' if processes > 1 else ''}"


def _parts(path: Path, waiters: int, processes: int, seconds: float) -> list[_Part]:
    """Run that many processes on one file, starting together. Raises PartFailed."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    pipes, children = [], []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_serve, args=(path, number, waiters, seconds, barrier, theirs), daemon=True)
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    try:
        return [pipe.recv() for pipe in pipes]
    except EOFError as exc:
        raise PartFailed("a process that used the nonce store has ended") from exc
    finally:
        for child in children:
            child.join(START_SECONDS)
            child.kill()


def _serve(
    path: Path,
    number: int,
    waiters: int,
    seconds: float,
    barrier: Barrier,
    pipe: "multiprocessing.connection.Connection[_Part, None]",
) -> None:
    pipe.send(uvloop.run(_work(path, number, waiters, seconds, barrier)))


async def _work(path: Path, number: int, waiters: int, seconds: float, barrier: Barrier) -> _Part:
    store = SqliteNonceStore(path)
    addresses = [f"0x{number * 1000 + waiter:040x}" for waiter in range(waiters)]
    for address in addresses:
        await store.use(address, "1")
    barrier.wait(START_SECONDS)
    began, cpu_before = time.perf_counter(), time.process_time()
    latencies = await asyncio.gather(*(_waiter(store, address, began + seconds) for address in addresses))
    took, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_before
    await store.close()
    return _Part(took, cpu_seconds, tuple(latency for each in latencies for latency in each))


async def _waiter(store: SqliteNonceStore, address: str, deadline: float) -> list[float]:
    latencies, nonce = [], int(time.time() * 1000)
    now = time.perf_counter()
    while now < deadline:
        nonce += 1
        await store.use(address, str(nonce))
        before, now = now, time.perf_counter()
        latencies.append(now - before)
    return latencies


def _use(case: str, variant: str, round_number: int, parts: Sequence[_Part]) -> Use:
    latencies = sorted(latency for part in parts for latency in part.latencies)
    return Use(
        case=case,
        variant=variant,
        round=round_number,
        seconds=max(part.seconds for part in parts),
        nonces=len(latencies),
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        p50_seconds=percentile(latencies, 0.5),
        p99_seconds=percentile(latencies, 0.99),
    )


def _row(case: str, variant: str, uses: Sequence[Use]) -> Row:
    return Row(
        case,
        variant,
        (
            *figure(RATE, [use.nonces / use.seconds for use in uses]),
            *figure("CPU µs/nonce", [use.cpu_seconds / max(1, use.nonces) * 1e6 for use in uses], 1),
            *figure("p50 ms", [use.p50_seconds * 1000 for use in uses], 3),
            *figure("p99 ms", [use.p99_seconds * 1000 for use in uses], 3),
        ),
    )
