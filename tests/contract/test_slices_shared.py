"""Two processes on one directory: a slice is fetched by one of them, and taken over when that one dies."""

import asyncio
import hashlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provider.slices import store as store_module
from provider.slices.directory import SliceDirectory, TakenSliceError
from tests.support.measured import unmeasured_environ
from tests.support.raw_origin import raw_origin
from tests.support.slice_cache import Cache, body, slice_cache, until
from tests.support.versioned_file import VersionedFile

PIECE = 64 << 10
SLICE = 4 * PIECE
SIZE = 10 * SLICE + 12_345
CONTENT = random.Random(18).randbytes(SIZE)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "ab" * 24 + "-0"


@asynccontextmanager
async def other_worker(folder: Path, url: str, readers: int = 1) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.slice_reader", str(folder), url, str(SLICE), str(readers),
        env=unmeasured_environ(), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@asynccontextmanager
async def half_written(folder: Path) -> AsyncIterator[tuple[VersionedFile, Cache, asyncio.subprocess.Process]]:
    """Another worker has written three quarters of the first slice and waits for its origin."""
    file = VersionedFile(CONTENT, hold_at=3 * PIECE + 1)
    async with (
        raw_origin(file) as origin,
        slice_cache(folder, origin.url, slice_bytes=SLICE) as cache,
        other_worker(folder, origin.url) as child,
    ):
        await until(lambda: sum(path.stat().st_size for path in cache.unfinished()) >= 3 * PIECE)
        yield file, cache, child


@pytest.mark.gen_test
async def test_two_workers_who_ask_for_a_cold_file_at_once_cost_one_transfer(tmp_path: Path) -> None:
    file = VersionedFile(CONTENT)
    file.gate.clear()
    async with (
        raw_origin(file) as origin,
        slice_cache(tmp_path, origin.url, slice_bytes=SLICE) as cache,
        other_worker(tmp_path, origin.url, readers=10) as child,
    ):
        await until(lambda: file.asked)
        reading = [asyncio.ensure_future(cache.read()) for _ in range(10)]
        file.gate.set()
        assert all(content == CONTENT for content in await asyncio.gather(*reading))
        said, _ = await child.communicate()
        assert said.decode().split() == [DIGEST] * 10
        assert file.sent_bytes <= 1.05 * SIZE
        assert not cache.unfinished()


@pytest.mark.gen_test
async def test_bytes_that_another_worker_fetches_are_read_while_they_come(tmp_path: Path) -> None:
    async with half_written(tmp_path) as (file, cache, child):
        source, room = await cache.open(), memoryview(bytearray(SLICE))
        got = b""
        while len(got) < 3 * PIECE:
            got += bytes(room[: await source.read_into(room)])
        assert got == CONTENT[: 3 * PIECE + 1][: len(got)]
        file.hold_at = 2 * SIZE
        assert got + await body(source) == CONTENT
        assert (await child.communicate())[0].decode().split() == [DIGEST]
        assert len(file.bodies) == 1


@pytest.mark.gen_test
async def test_a_slice_is_taken_over_when_the_worker_that_fetches_it_is_killed(tmp_path: Path) -> None:
    async with half_written(tmp_path) as (file, cache, child):
        reading = [asyncio.ensure_future(cache.read()) for _ in range(5)]
        await until(lambda: len(cache.open_slices()) == 1)
        assert len(file.bodies) == 1
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        file.hold_at = 2 * SIZE
        assert all(content == CONTENT for content in await asyncio.gather(*reading))
        assert len(file.bodies) == 2
        assert not cache.unfinished()
        await until(lambda: not cache.open_slices())


@pytest.mark.gen_test
async def test_a_worker_that_hangs_is_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_STALLED_SECONDS", 0.1)
    async with half_written(tmp_path) as (file, cache, child):
        os.kill(child.pid, signal.SIGSTOP)
        file.hold_at = 2 * SIZE
        assert await cache.read() == CONTENT
        os.kill(child.pid, signal.SIGCONT)
        assert (await child.communicate())[0].decode().split() == [DIGEST]
        assert await cache.read() == CONTENT
        assert not cache.unfinished()


def test_a_slice_has_one_writer_and_none_once_it_is_there(tmp_path: Path) -> None:
    one, other = (SliceDirectory(str(tmp_path), b"s" * 32) for _ in range(2))
    first = one.create(NAME, 5, "", claim=True)
    with pytest.raises(TakenSliceError):
        other.create(NAME, 5, "", claim=True)
    followed = other.follow(NAME)
    assert followed is not None
    first.append(memoryview(b"hello"))
    assert os.pread(followed, 9, 0) == b"hello"
    first.commit()
    with pytest.raises(TakenSliceError):
        other.create(NAME, 5, "", claim=True)
    assert other.follow(NAME) is None
    os.close(followed)
    os.close(first.descriptor)


def test_what_a_dead_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    directory = SliceDirectory(str(tmp_path), b"s" * 32)
    for find in (lambda: directory.follow(NAME), directory.scan, lambda: None):
        # A process that dies closes its descriptors, and so gives up its locks.
        os.close(directory.create(NAME, 5, "", claim=True).descriptor)
        assert not find()
        directory.create(NAME, 5, "", claim=True).close()
        assert not list(tmp_path.glob("slices-*/*"))


def test_a_server_of_another_version_that_claims_nothing_is_no_danger(tmp_path: Path) -> None:
    """Both write the same bytes, and the last rename wins."""
    directory = SliceDirectory(str(tmp_path), b"s" * 32)
    ours, theirs = directory.create(NAME, 5, "", claim=True), directory.create(NAME, 5, "", claim=False)
    for writer in (ours, theirs):
        writer.append(memoryview(b"hello"))
    assert not directory.scan()
    for writer in (theirs, ours):
        writer.commit()
        os.close(writer.descriptor)
    assert [found.name for found in directory.scan()] == [NAME]
    opened = directory.open(NAME, 5, checked=None)
    assert opened is not None
    os.close(opened[0])
