"""Slices through the relay: whole files and ranges over TCP and TLS, kept connections, and faults in the middle."""

import asyncio
import errno
import http.client
import itertools
import math
import random
import resource
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provider.slices.directory import SliceDirectory, SliceWriter
from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import Wish, read_wish
from tests.support.raw_origin import RawOrigin, raw_origin, tls_contexts
from tests.support.relay_server import Proxy, consumer, download, in_thread, relaying
from tests.support.slice_cache import SLICE, Cache, slice_cache, until
from tests.support.versioned_file import VersionedFile

SIZE = 20 * SLICE + 777
CONTENT = random.Random(17).randbytes(SIZE)
RANGES = [None, (0, 0), (SLICE - 1, SLICE), (5, 12 * SLICE), (3 * SLICE, 6 * SLICE - 1), (SIZE - 400_000, SIZE - 1)]


@dataclass
class CacheOpener:
    """Opens the one file for every request."""

    cache: Cache

    async def open(self, request: HttpRequest) -> Source:
        return await self.cache.open(wish=read_wish(dict(request.headers)))

    def close(self) -> None:
        pass


@asynccontextmanager
async def served(
    file: VersionedFile,
    folder: Path,
    *,
    context: ssl.SSLContext | None = None,
    max_resumes: int = 50,
    **options: object,
) -> AsyncIterator[tuple[Proxy, Cache]]:
    async with raw_origin(file) as origin, slice_cache(folder, origin.url, **options) as cache:
        proxy = Proxy(RawOrigin("http://file"), opener=CacheOpener(cache), max_resumes=max_resumes)
        async with relaying(proxy, idle_timeout_seconds=10, context=context):
            yield proxy, cache
        proxy.disk.close()


@pytest.fixture
def file() -> VersionedFile:
    return VersionedFile(CONTENT)


def fetch_all(client: http.client.HTTPConnection) -> None:
    """Every range twice on one connection: the first time slices may be filled, the second time they are there."""
    for wanted in RANGES * 2:
        first, last = wanted or (0, SIZE - 1)
        headers = {} if wanted is None else {"Range": f"bytes={first}-{last}"}
        status, _, got = download(client, **headers)
        assert status == (200 if wanted is None else 206)
        assert got == CONTENT[first : last + 1]


def fetch(client: http.client.HTTPConnection) -> bytes:
    return download(client)[2]


@pytest.mark.gen_test
async def test_files_and_ranges_are_sent_from_slices_on_a_kept_connection(file: VersionedFile, tmp_path: Path) -> None:
    async with served(file, tmp_path) as (proxy, cache):
        await in_thread(proxy, fetch_all)
        assert file.sent_bytes == SIZE + 1
        assert cache.bytes_of("hit") > 2 * SIZE
        # tmpfs does not tell what is in memory, so its files are copied.
        assert {relayed.path for relayed in proxy.relayed} <= {"sendfile", "copy"}
        assert all(relayed.outcome == "complete" for relayed in proxy.relayed)


@pytest.mark.gen_test
async def test_the_same_over_tls(file: VersionedFile, tmp_path: Path) -> None:
    serving, trusting = tls_contexts(tmp_path, "127.0.0.1")

    def run(port: int) -> None:
        client = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting)
        try:
            fetch_all(client)
        finally:
            client.close()

    async with served(file, tmp_path / "cache", context=serving) as (proxy, _):
        await asyncio.to_thread(run, proxy.port)
        assert {relayed.path for relayed in proxy.relayed} == {"copy"}


@pytest.mark.gen_test
async def test_an_origin_that_breaks_off_again_and_again_is_resumed(file: VersionedFile, tmp_path: Path) -> None:
    file.cut_after = 3 * SLICE + 100
    async with served(file, tmp_path) as (proxy, cache):
        assert await in_thread(proxy, fetch) == CONTENT
        assert proxy.relayed[0].resumes >= 1
        await until(lambda: not cache.fills())
        assert len(cache.slices()) == 21
        # Each answer brings three slices, and the part of the fourth is fetched again.
        assert file.sent_bytes <= 1.4 * SIZE


@pytest.mark.gen_test
async def test_a_disk_that_fills_up_in_the_middle_is_noticed_by_nobody(file: VersionedFile, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with served(file, tmp_path) as (proxy, cache):
        await cache.read(wish=Wish(ranges="bytes=0-9999"))
        file.gate.clear()
        async with consumer(proxy) as (reader, writer):
            writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            file.gate.set()
            resource.setrlimit(resource.RLIMIT_FSIZE, (SLICE // 2, limits[1]))
            try:
                assert await reader.readexactly(SIZE) == CONTENT
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert cache.metrics.errors.values[("disk",)] >= 1
        assert len(cache.slices()) == 1
        assert not cache.unfinished()


FAULTS = {
    "read-only at the beginning": (SliceDirectory, "create", 1, errno.EROFS),
    "read-only in the middle": (SliceDirectory, "create", 4, errno.EROFS),
    "full in the middle of a slice": (SliceWriter, "append", 6, errno.ENOSPC),
    "full at the end of a slice": (SliceWriter, "commit", 3, errno.EDQUOT),
    "fails when it is written": (SliceWriter, "append", 1, errno.EIO),
    "fails when a slice is opened": (SliceDirectory, "open", 3, errno.EIO),
    "forgets what is there": (SliceDirectory, "follow", 1, errno.ESTALE),
    "fails when room is looked for": (SliceDirectory, "room_bytes", 2, errno.EIO),
}


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_fails_at_any_step_is_noticed_by_nobody(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    owner, name, at_call, number = FAULTS[fault]
    real, calls = getattr(owner, name), itertools.count(1)

    def failing(*args: Any, **options: Any) -> object:
        if next(calls) >= at_call:
            raise OSError(number, "planted")
        return real(*args, **options)

    async with served(file, tmp_path) as (proxy, cache):
        monkeypatch.setattr(owner, name, failing)
        assert await in_thread(proxy, fetch) == CONTENT
        monkeypatch.undo()
        assert cache.metrics.errors.values[("disk",)] >= 1
        assert await in_thread(proxy, fetch) == CONTENT
        await until(lambda: not cache.fills())
        await until(lambda: not cache.open_slices())
        assert not cache.unfinished()


@pytest.mark.gen_test
async def test_a_directory_that_goes_away_during_a_fill_is_noticed_by_nobody(
    file: VersionedFile, tmp_path: Path
) -> None:
    file.hold_at = 3 * SLICE + 1
    async with served(file, tmp_path / "cache") as (proxy, _), consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got = await reader.readexactly(2 * SLICE)
        shutil.rmtree(tmp_path / "cache")
        file.hold_at = math.inf
        assert got + await reader.readexactly(SIZE - len(got)) == CONTENT


@pytest.mark.gen_test
async def test_servers_of_two_keys_on_one_directory_harm_nobody(file: VersionedFile, tmp_path: Path) -> None:
    """Each removes the slices of the other when it starts, even while they are read and written."""
    file.hold_at = 3 * SLICE + 1
    async with served(file, tmp_path) as (proxy, _), consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got = await reader.readexactly(2 * SLICE)
        async with slice_cache(tmp_path, proxy.origin.url, secret=b"t" * 32) as other:
            assert not other.slices()
            file.hold_at = math.inf
            assert got + await reader.readexactly(SIZE - len(got)) == CONTENT


@pytest.mark.gen_test
async def test_a_file_that_changes_in_the_middle_is_a_cut_for_the_consumer(file: VersionedFile, tmp_path: Path) -> None:
    file.cut_after = 3 * SLICE
    async with served(file, tmp_path) as (proxy, _), consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        file.content, file.tag, file.cut_after = bytes(SIZE), '"v2"', None
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)) as cut:
            await reader.readexactly(SIZE)
        if isinstance(cut.value, asyncio.IncompleteReadError):
            assert cut.value.partial == CONTENT[: len(cut.value.partial)]


@pytest.mark.gen_test
@pytest.mark.parametrize("bytes_read", [0, 1, SLICE, 5 * SLICE + 1])
async def test_a_consumer_who_leaves_leaves_nothing_behind(
    file: VersionedFile, tmp_path: Path, bytes_read: int
) -> None:
    async with served(file, tmp_path) as (proxy, cache):
        async with consumer(proxy) as (reader, writer):
            writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(bytes_read)
        await proxy.outcome()
        await until(lambda: not cache.fills())
        await until(lambda: not cache.open_slices())
        assert not cache.unfinished()
