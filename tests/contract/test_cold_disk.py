"""1 KiB downloads beside eight cold reads of large files from a throttled disk. Only with `--soak`: it measures."""

import asyncio
import http.client
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.support.raw_origin import raw_origin
from tests.support.versioned_file import VersionedFile

SIZE = 64 << 20
READERS = 8
DISK_BYTES_PER_SECOND = 50_000_000
ALONE_SECONDS = 5.0
P99_SECONDS = 0.020
_BLKIO = Path("/sys/fs/cgroup/blkio")


@contextmanager
def throttled(process_id: int, folder: Path) -> Iterator[None]:
    """Limit how fast a process reads from the disk below `folder` (cgroup v1, blkio)."""
    group = _BLKIO / f"provider-tests-{os.getpid()}"
    device = folder.stat().st_dev
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group for the disk: {error.strerror}")
    try:
        limit = f"{os.major(device)}:{os.minor(device)} {DISK_BYTES_PER_SECOND}"
        (group / "blkio.throttle.read_bps_device").write_text(limit)
        (group / "cgroup.procs").write_text(str(process_id))
        yield
        (_BLKIO / "cgroup.procs").write_text(str(process_id))
    except OSError as error:
        pytest.skip(f"the disk cannot be throttled: {error.strerror}")
    finally:
        # It may still have a process that ends.
        time.sleep(0.1)
        group.rmdir()


@asynccontextmanager
async def server(folder: Path, url: str) -> AsyncIterator[tuple[int, int]]:
    """Process id and port."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.cold_server", str(folder), url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        yield child.pid, int(await child.stdout.readline())
    finally:
        child.stdin.close()
        await child.wait()


def get(client: http.client.HTTPConnection, path: str, **headers: str) -> int:
    client.request("GET", path, headers=headers)
    reply, count = client.getresponse(), 0
    while piece := reply.read(1 << 20):
        count += len(piece)
    return count


def get_once(port: int, path: str) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        return get(client, path)
    finally:
        client.close()


def drop_from_memory(folder: Path) -> None:
    os.sync()
    for path in folder.glob("slices-*/*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@pytest.mark.gen_test(timeout=300)
async def test_small_downloads_do_not_wait_for_a_slow_disk(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--soak"):
        pytest.skip("measures time")
    file = VersionedFile(random.Random(7).randbytes(SIZE))
    async with raw_origin(file) as origin:
        async with server(tmp_path, origin.url) as (_, port):
            for path in ("/hot", *(f"/{number}" for number in range(READERS))):
                assert await asyncio.to_thread(get_once, port, path) == SIZE
        drop_from_memory(tmp_path)
        # A new process verifies each slice when it first opens it.
        async with server(tmp_path, origin.url) as (process_id, port):
            await asyncio.to_thread(get_once, port, "/hot")
            end = time.monotonic() + ALONE_SECONDS
            alone = await asyncio.to_thread(small_downloads, port, lambda: time.monotonic() > end)
            with throttled(process_id, tmp_path):
                cold = [asyncio.create_task(asyncio.to_thread(get_once, port, f"/{n}")) for n in range(READERS)]
                beside = await asyncio.to_thread(small_downloads, port, lambda: all(task.done() for task in cold))
                assert await asyncio.gather(*cold) == [SIZE] * READERS
    told = f"p99 {p99(alone) * 1e3:.1f} ms of {len(alone)} alone, {p99(beside) * 1e3:.1f} ms of {len(beside)} beside"
    print(told)
    # A busy machine is slow without the disk, too.
    assert p99(beside) <= p99(alone) + P99_SECONDS, told


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


def small_downloads(port: int, ended: Callable[[], bool]) -> list[float]:
    """Seconds of each of many 1 KiB downloads of a file that is in memory."""
    client, seconds = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    while not ended():
        began = time.monotonic()
        assert get(client, "/hot", Range="bytes=1000-2023") == 1024
        seconds.append(time.monotonic() - began)
        time.sleep(0.002)
    client.close()
    return seconds
