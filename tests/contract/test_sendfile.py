"""Local files over real sockets: every way out, keep-alive, ends of either side, changing files, slow disks."""

import asyncio
import contextlib
import errno
import hashlib
import http.client
import os
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET

import pytest

from provider.errors import UpstreamTruncated
from provider.override import override
from provider.streaming.epoll_watcher import loop_watcher
from provider.streaming.relay import SENDFILE_FROM_BYTES, Relayed
from provider.upstream.disk import Disk
from provider.upstream.file_source import FileSource
from provider.upstream.source import FilePlace, Headers, HttpRequest, Source
from tests.support.file_server import FileOpener, serving
from tests.support.raw_origin import tls_contexts
from tests.support.relay_server import Proxy, consumer, download, in_thread

# No period that a piece size divides: a piece lost, doubled or moved is seen.
DATA = hashlib.shake_256(b"sendfile").digest(9_000_017)
GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file on a file system that tells what is in memory."""
    path = tmp_path / "data.bin"
    path.write_bytes(DATA)
    if not tells(path):
        pytest.skip("the temporary folder's file system does not tell what is in memory")
    return path


@pytest.fixture
def file_in_memory() -> Iterator[Path]:
    """A file on tmpfs, which on most kernels does not tell what is in memory."""
    path = Path(f"/dev/shm/provider-test-{os.getpid()}")
    path.write_bytes(DATA)
    yield path
    path.unlink()


def tls_client(port: int, trusting: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", port, timeout=60, context=trusting)


def tells(path: Path) -> bool:
    """True if the file's system tells what is in memory."""
    with path.open("rb") as opened:
        return Disk().tells(opened.fileno())


def open_descriptors(path: Path) -> int:
    """How many descriptors of this process lead to the file."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith(str(path))
        except OSError:
            continue
    return found


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  figures of other tasks
            await asyncio.sleep(0.005)


async def all_ended(path: Path) -> None:
    """No stream holds the file, and nothing is watched."""
    await until(lambda: not open_descriptors(path) and not len(loop_watcher()))


def evict(path: Path) -> None:
    """Take the file out of the page cache."""
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class CountingDisk(Disk):
    """Counts the pieces that threads read."""

    __slots__ = ("read_pieces", "warmed_pieces")

    def __init__(self) -> None:
        super().__init__()
        self.warmed_pieces = self.read_pieces = 0

    @override
    def warm(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[None]":
        self.warmed_pieces += 1
        return super().warm(descriptor, offset, count_bytes)

    @override
    def read(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[bytes]":
        self.read_pieces += 1
        return super().read(descriptor, offset, count_bytes)


class HungDisk(Disk):
    """Never answers, as NFS does without its server."""

    @override
    def holds(self, descriptor: int, offset: int, count_bytes: int) -> bool:
        return False

    @override
    def read_now(self, descriptor: int, buffer: memoryview, offset: int) -> int | None:
        return None

    @override
    def warm(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    @override
    def read(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[bytes]":
        return asyncio.get_running_loop().create_future()


@pytest.mark.gen_test
async def test_a_file_is_sent_whole_and_its_connection_is_used_again(file: Path) -> None:
    def thrice(client: http.client.HTTPConnection) -> list[tuple[int, bytes]]:
        client.connect()
        local = client.sock.getsockname()
        answers = [download(client) for _ in range(3)]
        assert client.sock is not None
        assert client.sock.getsockname() == local
        return [(status, body) for status, _, body in answers]

    async with serving(file) as proxy:
        assert await in_thread(proxy, thrice) == [(200, DATA)] * 3
        assert proxy.relayed == [Relayed(len(DATA), "complete", "sendfile")] * 3
        await all_ended(file)


@pytest.mark.gen_test
async def test_requests_that_already_wait_are_answered_next(file: Path) -> None:
    async with serving(file) as proxy, consumer(proxy) as (reader, writer):
        writer.write(GET * 3)
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(DATA)) == DATA


@pytest.mark.gen_test
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "closed"])
async def test_a_consumer_of_http_1_0_gets_it_too(file: Path, keep: bool) -> None:
    async with serving(file) as proxy, consumer(proxy) as (reader, writer):
        for _ in range(2 if keep else 1):
            writer.write(b"GET /x HTTP/1.0\r\n%b\r\n" % (b"Connection: keep-alive\r\n" if keep else b""))
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(DATA)) == DATA
        assert (await proxy.outcome()).path == "sendfile"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=1001-7900000", slice(1001, 7_900_001)),
        ("bytes=8000000-", slice(8_000_000, None)),
        ("bytes=-1000000", slice(-1_000_000, None)),
        ("bytes=0-0", slice(0, 1)),
        ("bytes=9000016-9000016", slice(9_000_016, None)),
    ],
)
async def test_a_range_is_sent(file: Path, wanted: str, part: slice) -> None:
    async with serving(file) as proxy:
        status, headers, body = await in_thread(proxy, lambda client: download(client, Range=wanted))
        assert (status, body == DATA[part]) == (206, True)
        first = part.indices(len(DATA))[0]
        assert headers["content-range"] == f"bytes {first}-{first + len(body) - 1}/{len(DATA)}"
        path = "sendfile" if len(body) >= SENDFILE_FROM_BYTES else "copy"
        assert await proxy.outcome() == Relayed(len(body), "complete", path)


@pytest.mark.gen_test
async def test_ranges_that_are_fetched_at_once_join_to_the_file(file: Path) -> None:
    size = 1_000_000
    async with serving(file) as proxy:
        asked = [f"bytes={first}-{first + size - 1}" for first in range(0, len(DATA), size)]
        answers = await asyncio.gather(
            *(in_thread(proxy, lambda client, text=text: download(client, Range=text)) for text in asked)
        )
        assert b"".join(body for _, _, body in answers) == DATA
        assert len({headers["etag"] for _, headers, _ in answers}) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("is_cold", [False, True], ids=["in memory", "on disk"])
async def test_a_consumer_over_tls_gets_a_copy(file: Path, tmp_path: Path, is_cold: bool) -> None:
    context, trusting = tls_contexts(tmp_path, "localhost")
    if is_cold:
        evict(file)

    def fetch(port: int) -> list[bytes]:
        with contextlib.closing(tls_client(port, trusting)) as client:
            return [download(client)[2], download(client, Range="bytes=5-4000000")[2]]

    async with serving(file, context=context) as proxy:
        assert await asyncio.to_thread(fetch, proxy.port) == [DATA, DATA[5:4_000_001]]
        assert [relayed.path for relayed in proxy.relayed] == ["copy", "copy"]
        await all_ended(file)


@pytest.mark.gen_test
async def test_what_is_not_in_memory_is_read_by_a_thread(file: Path) -> None:
    disk = CountingDisk()
    evict(file)
    async with serving(file, disk=disk) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA
        assert disk.warmed_pieces > 0
        disk.warmed_pieces = 0
        assert (await in_thread(proxy, download))[2] == DATA
        assert (disk.warmed_pieces, disk.read_pieces) == (0, 0)
        assert [relayed.path for relayed in proxy.relayed] == ["sendfile", "sendfile"]


@pytest.mark.gen_test
async def test_while_the_disk_is_read_no_hole_is_overlooked(file: Path) -> None:
    """What the system reads ahead comes in pieces, and `sendfile` would wait for those that are still to come."""
    now = 100.0
    disk = Disk(clock=lambda: now)
    descriptor = os.open(file, os.O_RDONLY)
    evict(file)
    # From now on, a read brings its own page into memory and no other.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    for at in (*range(0, 2 << 20, 512 << 10), (2 << 20) - 1):
        os.pread(descriptor, 1, at)
    assert disk.holds(descriptor, 0, 2 << 20)
    assert await disk.read(descriptor, 0, 10) == DATA[:10]
    assert not disk.holds(descriptor, 0, 2 << 20)
    await disk.warm(descriptor, 0, 2 << 20)
    assert disk.holds(descriptor, 0, 2 << 20)
    evict(file)
    for at in (*range(0, 2 << 20, 512 << 10), (2 << 20) - 1):
        os.pread(descriptor, 1, at)
    assert not disk.holds(descriptor, 0, 2 << 20)
    now += 6
    assert disk.holds(descriptor, 0, 2 << 20)
    os.close(descriptor)
    disk.close()


class RecordingDisk(CountingDisk):
    """Says of everything that it is not in memory, and keeps how far threads have read."""

    __slots__ = ("warm_until",)

    @override
    def holds(self, descriptor: int, offset: int, count_bytes: int) -> bool:
        return False

    @override
    def warm(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[None]":
        self.warm_until = offset + count_bytes
        return super().warm(descriptor, offset, count_bytes)


@pytest.mark.gen_test
async def test_nothing_is_sent_that_no_thread_has_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the consumer takes small parts of it: the loop would wait for the disk."""
    disk, sendfile, beyond = RecordingDisk(), os.sendfile, []

    def watched(target: int, source: int, offset: int, count: int) -> int:
        beyond.append(offset + count - disk.warm_until)
        return sendfile(target, source, offset, count)

    monkeypatch.setattr(os, "sendfile", watched)
    async with serving(file, disk=disk) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1 << 16)
        first = await begun(proxy, reader, writer)
        assert first + await reader.readexactly(len(DATA) - 1000) == DATA
        writer.transport.abort()
    assert max(beyond) <= 0
    assert disk.warmed_pieces > 1


@pytest.mark.gen_test
async def test_a_file_system_that_hides_what_is_in_memory_is_read_by_threads(file_in_memory: Path) -> None:
    disk = CountingDisk()
    path = "sendfile" if tells(file_in_memory) else "copy"
    async with serving(file_in_memory, disk=disk) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA
        assert await proxy.outcome() == Relayed(len(DATA), "complete", path)
        assert (disk.read_pieces > 0) == (path == "copy")
        await all_ended(file_in_memory)


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS])
async def test_a_sandbox_that_hides_what_is_in_memory_costs_no_file(
    file: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv

    def refused(descriptor: int, buffers: object, offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(number, "refused")
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", refused)
    async with serving(file) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA
        assert await proxy.outcome() == Relayed(len(DATA), "complete", "copy")


@pytest.mark.gen_test
async def test_a_disk_with_a_fault_cuts_the_consumer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    for name in ("preadv", "pread"):
        monkeypatch.setattr(os, name, broken)
    async with serving(file) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        assert (await proxy.outcome()).outcome == "upstream_truncated"
        await all_ended(file)


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EPERM])
async def test_a_system_without_sendfile_copies(file: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "sendfile", refused)
    async with serving(file) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA
        assert await proxy.outcome() == Relayed(len(DATA), "complete", "copy")


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("after", [0, 1, 3_000_000])
async def test_a_consumer_that_leaves_closes_the_file(file: Path, how: str, after: int) -> None:
    os.truncate(file, 1 << 32)
    async with serving(file) as proxy:
        async with consumer(proxy) as (reader, writer):
            writer.write(GET)
            if after:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(after)
            if how == "reset":
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            writer.transport.abort()
            await until(lambda: proxy.relayed or (not after and not proxy.progress))
        await all_ended(file)
        assert {relayed.outcome for relayed in proxy.relayed} <= {"consumer_gone"}


@pytest.mark.gen_test
async def test_a_consumer_that_takes_nothing_is_cut(file: Path) -> None:
    os.truncate(file, 1 << 32)
    async with serving(file, idle_timeout_seconds=0.2) as proxy, consumer(proxy) as (_, writer):
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        writer.write(GET)
        assert (await proxy.outcome()).outcome == "consumer_stalled"
        await all_ended(file)


@pytest.mark.gen_test
async def test_a_consumer_that_leaves_while_the_disk_hangs_closes_the_file(file: Path) -> None:
    async with serving(file, disk=HungDisk()) as proxy:
        async with consumer(proxy) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
        assert (await proxy.outcome()).outcome == "consumer_gone"
        await all_ended(file)


@pytest.mark.gen_test
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
async def test_a_disk_that_hangs_cuts_the_consumer(file: Path, tmp_path: Path, is_tls: bool) -> None:
    context, trusting = tls_contexts(tmp_path, "localhost") if is_tls else (None, None)

    def fetch(port: int) -> None:
        client = tls_client(port, trusting) if trusting else http.client.HTTPConnection("localhost", port, timeout=60)
        with contextlib.closing(client):
            download(client)

    async with serving(file, disk=HungDisk(), disk_idle_seconds=0.2, context=context) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError, ssl.SSLError)):
            await asyncio.to_thread(fetch, proxy.port)
        assert (await proxy.outcome()).outcome == "upstream_timed_out"
        await all_ended(file)


def truncated(file: Path) -> None:
    os.truncate(file, 5_000_000)


def grown(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")


def overwritten(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(DATA[::-1])


def overwritten_with_its_old_time(file: Path) -> None:
    before = file.stat()
    overwritten(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(file: Path) -> None:
    other = file.with_name("other.bin")
    other.write_bytes(DATA[::-1])
    other.rename(file)


async def begun(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Ask for the file, read a little of it and leave the rest in the sockets."""
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    first = await reader.readexactly(1000)
    await until(lambda: proxy.progress[0].awaits_consumer)
    return first


@pytest.mark.gen_test
@pytest.mark.parametrize("resumes", [0, 3])
@pytest.mark.parametrize("change", [truncated, grown, overwritten, overwritten_with_its_old_time])
async def test_a_file_that_changes_is_a_visible_cut(tmp_path: Path, file: Path, change, resumes: int) -> None:
    """A further request finds another version, which must not continue the first."""
    with file.open("ab") as opened:
        for _ in range(7):
            opened.write(DATA)
    async with serving(file, max_resumes=resumes) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1 << 16)
        await begun(proxy, reader, writer)
        change(file)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(8 * len(DATA) - 1000)
        writer.transport.abort()
        assert (await proxy.outcome()).outcome == "upstream_truncated"
        await all_ended(file)


@pytest.mark.gen_test
async def test_a_file_that_is_replaced_ends_as_it_began(file: Path) -> None:
    """`rename` leaves the bytes of the open file as they are."""
    async with serving(file) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1 << 16)
        first = await begun(proxy, reader, writer)
        replaced(file)
        assert first + await reader.readexactly(len(DATA) - 1000) == DATA
        writer.transport.abort()
        status, _, body = await in_thread(proxy, download)
        assert (status, body) == (200, DATA[::-1])


@pytest.mark.gen_test
async def test_every_change_gives_another_tag(file: Path) -> None:
    async with serving(file) as proxy:
        tags = [(await in_thread(proxy, download))[1]["etag"]]
        for change in (overwritten, overwritten_with_its_old_time, grown, truncated, replaced):
            change(file)
            tags.append((await in_thread(proxy, download))[1]["etag"])
        assert len(set(tags)) == 6


@pytest.mark.gen_test
async def test_a_part_of_another_version_is_the_whole_file(file: Path) -> None:
    async with serving(file) as proxy:
        _, headers, _ = await in_thread(proxy, download)
        wanted = {"Range": "bytes=5-", "If-Range": headers["etag"]}
        assert (await in_thread(proxy, lambda client: download(client, **wanted)))[0] == 206
        overwritten(file)
        status, _, body = await in_thread(proxy, lambda client: download(client, **wanted))
        assert (status, body) == (200, DATA[::-1])


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, SENDFILE_FROM_BYTES - 1, SENDFILE_FROM_BYTES, 1 << 20])
async def test_a_file_of_any_length_is_whole(file: Path, size: int) -> None:
    os.truncate(file, size)
    async with serving(file) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA[:size]
        path = "sendfile" if size >= SENDFILE_FROM_BYTES else "copy"
        assert await proxy.outcome() == Relayed(size, "complete", path)


class Pieces(Source):
    """A body made of several files, the last of which still grows, and of bytes in memory between them."""

    idle_timeout_seconds = 10.0
    status = 200
    headers = Headers()
    framing = "length"
    length_bytes = len(DATA)
    final_url_path = ""
    ready_bytes = 0

    def __init__(self, folder: Path) -> None:
        self.files = [(folder / name).open("w+b", buffering=0) for name in ("a", "b")]
        self.files[0].write(DATA[:3_000_000])
        self.at = 0
        self.grown = 3_100_000
        self.growing = asyncio.Event()
        self.waits = 0

    def grow(self) -> None:
        """What fills the second file, which begins after 100 000 bytes in memory."""
        size = min(1_000_000, len(DATA) - self.grown)
        self.files[1].write(DATA[self.grown : self.grown + size])
        self.grown += size

    @property
    @override
    def contiguous_bytes(self) -> int:
        if self.at < 3_000_000:
            return 3_000_000 - self.at
        return 0 if self.at < 3_100_000 else self.grown - self.at

    @override
    def raw_file(self) -> FilePlace | None:
        if self.at < 3_000_000:
            return FilePlace(self.files[0].fileno(), self.at)
        return None if self.at < 3_100_000 else FilePlace(self.files[1].fileno(), self.at - 3_100_000)

    @override
    def read_now(self, buffer: memoryview) -> int | None:
        end = 3_000_000 if self.at < 3_000_000 else 3_100_000 if self.at < 3_100_000 else self.grown
        count = min(len(buffer), end - self.at)
        if not count:
            return 0 if self.at == len(DATA) else None
        buffer[:count] = DATA[self.at : self.at + count]
        self.at += count
        return count

    @override
    async def wait_ready(self) -> None:
        self.waits += 1
        self.grow()

    @override
    def raw_socket(self) -> None:
        return None

    @override
    def expect(self, count_bytes: int) -> None:
        pass

    @override
    def advance(self, count_bytes: int) -> None:
        self.at += count_bytes

    @override
    def release(self) -> None:
        self.close()

    @override
    def close(self) -> None:
        for file in self.files:
            file.close()


@pytest.mark.gen_test
async def test_a_body_of_several_files_and_of_memory_is_whole(file: Path, tmp_path: Path) -> None:
    class Opener(FileOpener):
        @override
        async def open(self, request: HttpRequest) -> Source:
            sources.append(Pieces(tmp_path))
            return sources[-1]

    sources: list[Pieces] = []
    async with serving(file, opener=lambda disk: Opener(file, disk, 10)) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA
        assert await proxy.outcome() == Relayed(len(DATA), "complete", "sendfile")
        assert sources[0].waits == 6


@pytest.mark.gen_test
async def test_a_source_that_was_closed_reads_nothing(file: Path) -> None:
    disk = Disk()
    descriptor = os.open(file, os.O_RDONLY)
    source = FileSource(disk, descriptor, os.fstat(descriptor), path="x", idle_timeout_seconds=10)
    evict(file)
    buffer = memoryview(bytearray(1000))
    waiting = asyncio.ensure_future(source.wait_ready())
    await asyncio.sleep(0)
    source.close()
    source.close()
    for attempt in (source.raw_file, lambda: source.read_now(buffer)):
        with pytest.raises(Exception, match="Asset URL"):
            attempt()
    with pytest.raises(Exception, match="Asset URL"):
        await waiting
    disk.close()


def opened(path: Path, disk: Disk) -> FileSource:
    descriptor = os.open(path, os.O_RDONLY)
    return FileSource(disk, descriptor, os.fstat(descriptor), path="x", idle_timeout_seconds=10)


@pytest.mark.gen_test
async def test_a_source_is_read_without_a_relay(file: Path) -> None:
    disk = Disk()
    source = opened(file, disk)
    evict(file)
    found, buffer = bytearray(), memoryview(bytearray(100_000))
    while count := await source.read_into(buffer):
        found += buffer[:count]
    assert found == DATA
    source.release()
    disk.close()


@pytest.mark.gen_test
async def test_a_file_that_lost_its_end_is_cut_wherever_it_is_read(file: Path) -> None:
    disk = Disk()
    source = opened(file, disk)
    os.truncate(file, 0)
    with pytest.raises(UpstreamTruncated):
        await source.wait_ready()
    with pytest.raises(UpstreamTruncated):
        source.read_now(memoryview(bytearray(1000)))
    source.close()
    # A thread that reads ahead must not look for ever for bytes that are gone.
    descriptor = os.open(file, os.O_RDONLY)
    await asyncio.wait_for(disk.warm(descriptor, 0, len(DATA)), 30)
    os.close(descriptor)
    disk.close()


@pytest.mark.gen_test
async def test_a_reader_that_leaves_while_the_disk_hangs_is_no_fault_of_the_file(file: Path) -> None:
    class Hanging(Disk):
        def read(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[bytes]":
            return asyncio.get_running_loop().create_future()

    disk = Hanging()
    source = opened(file, disk)
    waiting = asyncio.create_task(source.wait_ready())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    source.close()
    disk.close()


@pytest.mark.gen_test
@pytest.mark.parametrize(("modified_at", "is_told"), [(-5, False), (0, True)])
async def test_a_time_that_http_cannot_write_is_not_told(file: Path, modified_at: int, is_told: bool) -> None:
    os.utime(file, (modified_at, modified_at))
    disk = Disk()
    source = opened(file, disk)
    assert ("Last-Modified" in source.headers) is is_told
    assert "ETag" in source.headers
    source.close()
    disk.close()
