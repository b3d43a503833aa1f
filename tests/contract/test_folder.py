"""Files beneath a folder, on a real file system: only regular files, and none outside."""

import asyncio
import gc
import os
import socket
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provider.errors import UpstreamRefused, UpstreamTimedOut
from provider.upstream.disk import Disk
from provider.upstream.file_source import FileSource
from provider.upstream.folder import Folder
from provider.upstream.wish import NO_WISH, Wish

DATA = os.urandom(300_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files, beside a file that nobody may get."""
    (tmp_path / "secret.txt").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "2026").mkdir(parents=True)
    (root / "2026" / "a.parquet").write_bytes(DATA)
    (root / "small.csv").write_bytes(b"a,b\n1,2\n")
    return root


@asynccontextmanager
async def opened(root: Path, **limits: float) -> AsyncIterator[Folder]:
    """The folder; afterwards none of its files is open."""
    disk = Disk()
    seconds = {"open_timeout_seconds": 30.0, "idle_timeout_seconds": 30.0} | limits
    folder = Folder(str(root), name="test", disk=disk, **seconds)
    try:
        yield folder
    finally:
        folder.close()
        disk.close()
    assert not [path for path in open_files() if path.startswith(str(root.parent))]


def open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return found


async def content(source: FileSource) -> bytes:
    buffer, found = memoryview(bytearray(1 << 20)), bytearray()
    while count := await source.read_into(buffer):
        found += buffer[:count]
    source.release()
    return bytes(found)


@pytest.mark.gen_test
async def test_a_file_has_its_bytes_its_type_and_its_validators(root: Path) -> None:
    async with opened(root) as folder:
        source = await folder.open(["2026", "a.parquet"], NO_WISH)
        assert (source.status, source.length_bytes, source.final_url_path) == (200, len(DATA), "/2026/a.parquet")
        assert source.headers.get("Content-Type") == "application/vnd.apache.parquet"
        assert source.headers.get("Accept-Ranges") == "bytes"
        assert (source.headers.get("ETag") or "").startswith('"')
        assert "GMT" in (source.headers.get("Last-Modified") or "")
        assert await content(source) == DATA


@pytest.mark.gen_test
@pytest.mark.parametrize(("wanted", "part"), [("bytes=2-", b"b\n1,2\n"), ("bytes=-2", b"2\n"), ("bytes=0-0", b"a")])
async def test_a_part_of_a_small_file_comes_with_the_open(root: Path, wanted: str, part: bytes) -> None:
    async with opened(root) as folder:
        source = await folder.open(["small.csv"], Wish(wanted))
        assert (source.status, source.ready_bytes) == (206, len(part))
        assert await content(source) == part


@pytest.mark.gen_test
async def test_a_range_beyond_the_end_is_not_satisfiable(root: Path) -> None:
    async with opened(root) as folder:
        source = await folder.open(["small.csv"], Wish("bytes=8-"))
        assert (source.status, source.headers.get("Content-Range")) == (416, "bytes */8")
        assert await content(source) == b""


def linked(root: Path) -> None:
    (root / "x").symlink_to("small.csv")


def linked_outside(root: Path) -> None:
    (root / "x").symlink_to(root.parent / "secret.txt")


def linked_nowhere(root: Path) -> None:
    (root / "x").symlink_to("nowhere")


def linked_in_a_circle(root: Path) -> None:
    (root / "x").symlink_to("x")


def fifo(root: Path) -> None:
    os.mkfifo(root / "x")


def bound_socket(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "x"))


def folder_in_place_of_a_file(root: Path) -> None:
    (root / "x").mkdir()


def device(root: Path) -> None:
    try:
        os.mknod(root / "x", 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("the user may make no device")


def nothing(_: Path) -> None:
    pass


KINDS = [
    linked, linked_outside, linked_nowhere, linked_in_a_circle, fifo, bound_socket, folder_in_place_of_a_file, device,
    nothing,
]  # fmt: skip


@pytest.mark.gen_test
@pytest.mark.parametrize("make", KINDS)
async def test_only_regular_files_are_opened(root: Path, make: Callable[[Path], None]) -> None:
    make(root)
    async with opened(root) as folder:
        with pytest.raises(UpstreamRefused) as refusal:
            await folder.open(["x"], NO_WISH)
        # The log does not show a file's name.
        assert "x" not in (refusal.value.detail or "").removeprefix("source test: ").replace("ENXIO", "")


@pytest.mark.gen_test
async def test_no_link_is_followed_on_the_way(root: Path) -> None:
    (root / "this_year").symlink_to("2026")
    (root / "out").symlink_to("..")
    async with opened(root) as folder:
        for steps in (["this_year", "a.parquet"], ["out", "secret.txt"], ["..", "secret.txt", "x"]):
            with pytest.raises(UpstreamRefused):
                await folder.open(steps, NO_WISH)


@pytest.mark.gen_test
async def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    """As Kubernetes mounts them."""
    (root.parent / "mounted").symlink_to("root")
    async with opened(root.parent / "mounted") as folder:
        assert await content(await folder.open(["small.csv"], NO_WISH)) == b"a,b\n1,2\n"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "steps",
    [
        ["n" * 256],
        ["n" * 4096],
        ["d"] * 3000 + ["x"],
        ["small.csv", "x"],
        ["SMALL.CSV"],
        ["small.csv "],
        [unicodedata.normalize("NFD", "größe.csv")],
    ],
    ids=["long", "4 KiB", "deep", "beneath a file", "case", "space", "another spelling"],
)
async def test_names_that_lead_to_nothing_are_refused(root: Path, steps: list[str]) -> None:
    (root / unicodedata.normalize("NFC", "größe.csv")).write_bytes(b"x")
    async with opened(root) as folder:
        with pytest.raises(UpstreamRefused):
            await folder.open(steps, NO_WISH)


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["small.csv", "missing.csv"])
async def test_a_folder_that_hangs_is_a_timeout_and_leaves_nothing_open(root: Path, name: str) -> None:
    """All threads of the folder wait, as for a lost network disk. Whatever they open later is closed."""
    release, held = os.pipe()
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    async with opened(root, open_timeout_seconds=0.05) as folder:
        waiting = [folder._threads.submit(os.read, release, 1) for _ in range(4)]
        with pytest.raises(UpstreamTimedOut):
            await folder.open([name], NO_WISH)
        os.write(held, b"xxxx")
        for one in waiting:
            await asyncio.wrap_future(one)
        # One thread does its work in order.
        for _ in range(8):
            await asyncio.wrap_future(folder._threads.submit(lambda: None))
        await asyncio.sleep(0)
    os.close(release)
    os.close(held)
    gc.collect()
    assert not faults


@pytest.mark.gen_test
async def test_a_pipe_that_takes_the_name_of_a_file_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came after the name was looked at, and before it was opened."""
    path, really_open = root / "small.csv", os.open

    def after_an_exchange(name: str, flags: int, **more: int) -> int:
        if name == path.name:
            path.unlink()
            os.mkfifo(path)
        return really_open(name, flags, **more)

    async with opened(root) as folder:
        monkeypatch.setattr(os, "open", after_an_exchange)
        with pytest.raises(UpstreamRefused) as refused:
            await folder.open([path.name], NO_WISH)
        monkeypatch.undo()
    assert refused.value.detail == "source test: not a regular file"


@pytest.mark.gen_test
async def test_a_consumer_who_leaves_while_a_file_is_opened_leaves_nothing_open(root: Path) -> None:
    release, held = os.pipe()
    async with opened(root) as folder:
        waiting = [folder._threads.submit(os.read, release, 1) for _ in range(4)]
        opening = asyncio.create_task(folder.open(["small.csv"], NO_WISH))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        os.write(held, b"xxxx")
        for one in waiting:
            await asyncio.wrap_future(one)
        for _ in range(8):
            await asyncio.wrap_future(folder._threads.submit(lambda: None))
        await asyncio.sleep(0)
    os.close(release)
    os.close(held)


@pytest.mark.gen_test
async def test_a_small_file_that_changes_after_it_was_opened_is_not_sent(root: Path) -> None:
    async with opened(root) as folder:
        source = await folder.open(["small.csv"], NO_WISH)
        (root / "small.csv").write_bytes(b"c,d,e\n3,4,5\n")
        with pytest.raises(Exception, match="Asset URL"):
            source.read_now(memoryview(bytearray(100)))
        source.close()
