"""Cache directories on file systems that fill up, become read-only or are unmounted. Needs root."""

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_slices_relayed import CONTENT, SIZE, fetch, served
from tests.support.relay_server import consumer, in_thread
from tests.support.slice_cache import SLICE, until
from tests.support.versioned_file import VersionedFile


def told(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not told("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)):
        pytest.skip("the user may mount nothing")
    try:
        yield folder
    finally:
        told("umount", "--lazy", str(folder))


@pytest.mark.gen_test
async def test_a_file_system_that_others_have_filled_is_noticed_by_nobody(disk: Path) -> None:
    (disk / "theirs").write_bytes(bytes((4 << 20) - SLICE // 2))
    file = VersionedFile(CONTENT)
    async with served(file, disk) as (proxy, cache):
        assert await in_thread(proxy, fetch) == CONTENT
        assert cache.metrics.errors.values[("disk",)] >= 1
        assert await in_thread(proxy, fetch) == CONTENT
        await until(lambda: not cache.fills())
        assert not cache.unfinished()


@pytest.mark.gen_test
async def test_slices_are_read_from_a_file_system_that_has_become_read_only(disk: Path) -> None:
    file = VersionedFile(CONTENT)
    async with served(file, disk, fresh_seconds=3600.0) as (proxy, cache):
        await cache.read()
        assert told("mount", "-o", "remount,ro", str(disk))
        assert await in_thread(proxy, fetch) == CONTENT
        assert len(file.bodies) == 1
        assert await cache.read(cache.file("/other")) == CONTENT
        assert cache.metrics.errors.values[("disk",)] >= 1
        assert not cache.is_up()


@pytest.mark.gen_test
async def test_a_file_system_that_is_unmounted_during_a_fill_is_noticed_by_nobody(disk: Path) -> None:
    file = VersionedFile(CONTENT, hold_at=3 * SLICE + 1)
    async with served(file, disk) as (proxy, _), consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got = await reader.readexactly(2 * SLICE)
        assert told("umount", "--lazy", str(disk))
        file.hold_at = math.inf
        assert got + await reader.readexactly(SIZE - len(got)) == CONTENT
