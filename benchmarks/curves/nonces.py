"""Nonces by processes on one file, with the file to each and with one writer for all."""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import uvloop

from benchmarks.daemon import PartFailed
from benchmarks.options import Options
from benchmarks.plans import percentile
from benchmarks.result import Row, figure
from provider.auth.nonce_store import NonceStore
from provider.auth.nonce_writer import serve_nonces, writer_socket
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.writer_store import WriterNonceStore

IN_FLIGHT = (16, 64)
PROCESSES = (1, 4, 16)
FILE, WRITER = "each process itself", "one writer"
_START_SECONDS = 60.0
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class _Run:
    uses_per_second: float
    p99_seconds: float
    cpu_microseconds: float


def rows(options: Options) -> list[Row]:
    """Use nonces through both, in fresh folders."""
    found: list[Row] = []
    for in_flight in IN_FLIGHT:
        for processes in PROCESSES:
            for variant in (FILE, WRITER):
                runs = [_run(variant, processes, in_flight, options) for _ in range(options.rounds)]
                found.append(_row(f"{in_flight} nonces in flight, {processes} processes", variant, runs))
    return found


def _row(case: str, variant: str, runs: list[_Run]) -> Row:
    return Row(
        case,
        variant,
        (
            *figure("nonces/s", [run.uses_per_second for run in runs]),
            *figure("p99 ms", [run.p99_seconds * 1000 for run in runs], 1),
            *figure("CPU µs/nonce of workers", [run.cpu_microseconds for run in runs]),
        ),
    )


def _run(variant: str, processes: int, in_flight: int, options: Options) -> _Run:
    with tempfile.TemporaryDirectory(prefix="provider-bench-", dir=options.storage) as folder:
        path = Path(folder) / "nonces.db"
        asyncio.run(_make(path))
        with _writer(path) if variant == WRITER else _nothing():
            parts = _parts(path, variant, processes, max(1, in_flight // processes), options.seconds)
    latencies = sorted(latency for part, _ in parts for latency in part)
    cpu = sum(seconds for _, seconds in parts)
    return _Run(len(latencies) / options.seconds, percentile(latencies, 0.99), cpu / max(1, len(latencies)) * 1e6)


async def _make(path: Path) -> None:
    store = SqliteNonceStore(path)
    await store.check()
    await store.close()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _writer(path: Path) -> Iterator[None]:
    child = _context.Process(target=_write, args=(path,), daemon=True)
    child.start()
    socket, deadline = writer_socket(path.parent, path), time.monotonic() + _START_SECONDS
    try:
        while not socket.exists():
            if time.monotonic() > deadline or not child.is_alive():
                raise PartFailed("the nonce writer does not start")
            time.sleep(0.01)
        yield
    finally:
        child.kill()
        child.join()


def _write(path: Path) -> None:
    life_line, _ = os.pipe()
    serve_nonces(path, path.parent, life_line=life_line)


def _parts(
    path: Path, variant: str, processes: int, waiters: int, seconds: float
) -> list[tuple[tuple[float, ...], float]]:
    barrier = _context.Barrier(processes)
    pipes, children = [], []
    for number in range(processes):
        ours, theirs = _context.Pipe(duplex=False)
        arguments = (path, variant, number, waiters, seconds, barrier, theirs)
        child = _context.Process(target=_serve, args=arguments, daemon=True)
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
            child.join(_START_SECONDS)
            child.kill()


def _serve(
    path: Path,
    variant: str,
    number: int,
    waiters: int,
    seconds: float,
    barrier: Barrier,
    pipe: "multiprocessing.connection.Connection[tuple[tuple[float, ...], float], None]",
) -> None:
    pipe.send(uvloop.run(_work(path, variant, number, waiters, seconds, barrier)))


async def _work(
    path: Path, variant: str, number: int, waiters: int, seconds: float, barrier: Barrier
) -> tuple[tuple[float, ...], float]:
    file = SqliteNonceStore(path, busy_timeout_seconds=30)
    store: NonceStore = WriterNonceStore(file, writer_socket(path.parent, path)) if variant == WRITER else file
    addresses = [f"0x{number * 1000 + waiter + 1:040x}" for waiter in range(waiters)]
    for address in addresses:
        await store.use(address, "1")
    barrier.wait(_START_SECONDS)
    deadline, cpu_before = time.perf_counter() + seconds, time.process_time()
    latencies = await asyncio.gather(*(_waiter(store, address, deadline) for address in addresses))
    cpu_seconds = time.process_time() - cpu_before
    await store.close()
    return tuple(latency for each in latencies for latency in each), cpu_seconds


async def _waiter(store: NonceStore, address: str, deadline: float) -> list[float]:
    latencies, nonce = [], int(time.time() * 1000)
    now = time.perf_counter()
    while now < deadline:
        nonce += 1
        await store.use(address, str(nonce))
        before, now = now, time.perf_counter()
        latencies.append(now - before)
    return latencies
