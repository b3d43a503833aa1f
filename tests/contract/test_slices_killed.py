"""A server that is killed at any moment of its fills leaves no wrong byte and no file behind."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from provider.slices.directory import DamagedSliceError, Found, SliceDirectory
from tests.support.measured import unmeasured_environ
from tests.support.origin import pattern, running_origin, wait_until
from tests.support.slice_cache import SLICE, Cache, slice_cache

SIZE = 10 * SLICE + 12_345
ROUNDS, SOAK_ROUNDS = 30, 200
CALLS = 200


def bytes_in(folder: Path) -> int:
    """Bytes of all files, finished or not."""
    total = 0
    for path in folder.glob("slices-*/*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def check(folder: Path) -> None:
    """A new server finds only whole slices with the right bytes, and nothing else is left."""
    found = check_slices(folder)
    assert {path.name for path in folder.glob("slices-*/*")} == {item.name for item in found}


def check_slices(folder: Path) -> list[Found]:
    """A new server finds only whole slices with the right bytes. Other servers may remove some meanwhile."""
    directory = SliceDirectory(str(folder), b"s" * 32)
    found = directory.prepare()
    for item in found:
        index = int(item.name.rpartition("-")[2])
        expected = pattern(SIZE)[index * SLICE : (index + 1) * SLICE]
        try:
            opened = directory.open(item.name, len(expected), checked=None)
        except DamagedSliceError:
            # A process that is killed loses nothing that it wrote: only a power loss tears slices.
            pytest.fail("a slice is damaged")
        if opened is not None:
            assert os.pread(opened[0], len(expected), 0) == expected
            os.close(opened[0])
    return found


async def read_all(folder: Path, url: str) -> None:
    async with slice_cache(folder, url) as cache:
        for number in range(3):
            assert await cache.read(cache.file(f"?{number}")) == pattern(SIZE)


def test_a_fill_that_is_killed_leaves_nothing_wrong(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rounds = SOAK_ROUNDS if request.config.getoption("--soak") else ROUNDS
    moments, unfinished = random.Random(9), 0
    with running_origin() as origin:
        url = f"{origin.url}/flaky/{SIZE}/{SIZE}"
        command = [sys.executable, "-m", "tests.contract.slice_filler", str(tmp_path), url]
        with subprocess.Popen(
            command, env=unmeasured_environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as nursery:
            assert nursery.stdin is not None
            assert nursery.stdout is not None
            for _ in range(rounds):
                sent_before, wanted = origin.sent_bytes, moments.randrange(3 * SIZE)
                nursery.stdin.write("\n")
                nursery.stdin.flush()
                child = int(nursery.stdout.readline())
                wait_until(
                    lambda sent=sent_before, more=wanted: origin.sent_bytes - sent > more and bytes_in(tmp_path),
                    every_seconds=0.0005,
                )
                os.kill(child, signal.SIGKILL)
                wait_until(lambda pid=child: not Path(f"/proc/{pid}").exists())
                unfinished += any(tmp_path.glob("slices-*/filling-*"))
                check(tmp_path)
            assert unfinished, "no round was killed in the middle of a slice"
            nursery.stdin.close()
        asyncio.run(read_all(tmp_path, url))


@pytest.mark.gen_test(timeout=900)
async def test_a_worker_that_is_killed_at_any_call_harms_no_other(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """This process reads the same files through the same directory all the time."""
    numbers = range(1, CALLS + 1)
    if not request.config.getoption("--soak"):
        numbers = [*range(1, 11), *random.Random(9).sample(range(11, CALLS + 1), 10)]
    with running_origin() as origin:
        url = f"{origin.url}/flaky/{SIZE}/{SIZE}"
        nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.contract.slice_killed", str(tmp_path), url,
            env=unmeasured_environ(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        try:
            async with slice_cache(tmp_path, url, max_bytes=1 << 20) as cache:
                reading = asyncio.ensure_future(read_on(cache))
                for number in numbers:
                    nursery.stdin.write(b"%d\n" % number)
                    assert int(await nursery.stdout.readline()) == -signal.SIGKILL
                    await asyncio.to_thread(check_slices, tmp_path)
                    if reading.done():
                        await reading
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        finally:
            nursery.stdin.close()
            await nursery.wait()
        check(tmp_path)


async def read_on(cache: Cache) -> None:
    for number in itertools.cycle(range(3)):
        assert await cache.read(cache.file(f"?{number}")) == pattern(SIZE)
