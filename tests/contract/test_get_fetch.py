"""Downloads over links against a real socket: cuts, restarts, changing files, lying lengths, refusals."""

import asyncio
import hashlib
import json
import os
import random
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from provider.commands.get import part_file, plan
from provider.commands.get.failures import GetFailed, NoAccess, TargetExists
from provider.commands.get.fetch import MAX_RENEWALS, MAX_VERSIONS, Fetched, FileFetch
from provider.commands.get.links import Links, Wanted, open_session
from provider.commands.get.order import Node, OrderSearch
from provider.commands.get.part_file import PartFile
from provider.commands.get.plan import MAX_ATTEMPTS, MIN_PIECE_BYTES, Facts
from provider.crypto.accounts import Account
from tests.support.assets import ASSET, NFT, SERVICE
from tests.support.link_server import LinkServer, Mishap, bytes_of
from tests.support.raw_origin import Exchange, raw_origin, tls_contexts

SIZE = 2 * MIN_PIECE_BYTES + 12_345
CONTENT = bytes_of(SIZE)
OTHER = bytes_of(SIZE, 2)
WANTED = Wanted("did:op:" + "0" * 64, "service", "0x" + "1" * 64)
BUYER = Account.from_hex("11" * 32)


@dataclass
class Pauses:
    """Takes the place of waiting: notes how long each pause would be."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float, _: str) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@dataclass
class Buyer:
    """Runs `get` for the first file of a server, as often as a test wants."""

    server: LinkServer
    target: Path
    url: str
    pauses: Pauses = field(default_factory=Pauses)

    async def get(
        self,
        *,
        connections: int = 4,
        force: bool = False,
        progress: Callable[[int, int | None], None] = lambda _, __: None,
    ) -> Fetched:
        async with open_session() as session:
            links = Links(session, self.url, BUYER, pause=self.pauses)
            (file, *_) = await links.create(WANTED)

            async def another() -> Any:
                return (await links.create(WANTED))[0]

            return await FileFetch(
                links,
                file,
                self.target,
                source="did/service/0",
                another=another,
                connections=connections,
                force=force,
                progress=progress,
                pause=self.pauses,
            ).run()

    @property
    def part(self) -> Path:
        """The unfinished file."""
        return Path(f"{self.target}.part")

    @property
    def note(self) -> Path:
        """What says which bytes of it are there."""
        return Path(f"{self.target}.part.json")

    def unfinished(self) -> dict[str, Any] | None:
        """The content of the note."""
        return json.loads(self.note.read_bytes()) if self.note.exists() else None

    def left(self) -> set[str]:
        """Names in the folder."""
        return {path.name for path in self.target.parent.iterdir()}


@asynccontextmanager
async def buying(server: LinkServer, folder: Path) -> AsyncIterator[Buyer]:
    async with raw_origin(server) as origin:
        yield Buyer(server, folder / "data.bin", origin.url)


async def interrupted(buyer: Buyer, count: int, **more: Any) -> bool:
    """Cancel a download once `count` bytes are there, as Ctrl-C does. False if it failed by itself."""
    task: asyncio.Task[Fetched]

    def progress(done: int, _: int | None) -> None:
        if done >= count:
            task.cancel()

    task = asyncio.ensure_future(buyer.get(progress=progress, **more))
    await asyncio.wait([task])
    return task.cancelled() or task.exception() is None


async def stopped(buyer: Buyer, count: int, **more: Any) -> None:
    assert await interrupted(buyer, count, **more)
    assert not buyer.target.exists()


def run(scene: Callable[[Buyer], Any], server: LinkServer, folder: Path) -> Any:
    async def play() -> Any:
        async with buying(server, folder) as buyer:
            return await scene(buyer)

    return asyncio.run(play())


def asked_bytes(ranges: list[str | None]) -> int:
    spans = [wanted.removeprefix("bytes=").split("-") for wanted in ranges if wanted]
    return sum(int(last) - int(first) + 1 for first, last in spans)


# Whole downloads


@pytest.mark.parametrize("connections", [1, 4])
def test_a_large_file_comes_in_ranges_that_do_not_overlap(tmp_path: Path, connections: int) -> None:
    async def scene(buyer: Buyer) -> None:
        got = await buyer.get(connections=connections)
        assert buyer.target.read_bytes() == CONTENT
        assert (got.size_bytes, got.resumed_bytes, got.checked) == (SIZE, 0, ("length", "validator"))
        assert len(buyer.server.gets()) == 3
        assert asked_bytes(buyer.server.gets()) == SIZE
        assert buyer.server.count("HEAD", "/d/") == 0
        assert buyer.left() == {"data.bin"}

    run(scene, LinkServer(CONTENT), tmp_path)


@pytest.mark.parametrize("size", [0, 1, 1000])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"etag": None},
        {"etag": 'W/"v1"'},
        {"has_ranges": False},
        {"announces_length": False, "manifest": {"length": None}},
        {"manifest": {"length": None, "etag": None}, "answers_head": False},
        {"manifest": {"length": None, "etag": None}},
    ],
    ids=["ranges", "no tag", "weak tag", "no ranges", "chunked", "no facts", "facts by HEAD"],
)
def test_every_kind_of_answer_gives_the_same_file(tmp_path: Path, size: int, shape: dict[str, Any]) -> None:
    async def scene(buyer: Buyer) -> None:
        got = await buyer.get()
        assert buyer.target.read_bytes() == CONTENT[:size]
        assert got.size_bytes == size
        assert len(buyer.server.gets()) == 1
        assert buyer.left() == {"data.bin"}

    run(scene, LinkServer(CONTENT[:size], **shape), tmp_path)


def test_a_server_that_ignores_ranges_is_asked_for_the_whole_file(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, has_ranges=False, manifest={"ranges": True})

    async def scene(buyer: Buyer) -> None:
        got = await buyer.get()
        assert buyer.target.read_bytes() == CONTENT
        assert got.etag == '"v1"'
        assert buyer.server.gets()[-1] is None

    run(scene, server, tmp_path)


# Cuts


@pytest.mark.parametrize("after", [0, 1, 100_000, MIN_PIECE_BYTES - 1])
def test_a_cut_range_goes_on_where_it_ended(tmp_path: Path, after: int) -> None:
    server = LinkServer(CONTENT, mishaps=deque([Mishap(cut_after=after)]))

    async def scene(buyer: Buyer) -> None:
        await buyer.get(connections=1)
        assert buyer.target.read_bytes() == CONTENT
        assert buyer.server.gets()[1] == f"bytes={after}-{MIN_PIECE_BYTES - 1}"
        assert len(buyer.server.gets()) == 4

    run(scene, server, tmp_path)


@pytest.mark.parametrize("after", [0, 1, 100_000])
def test_resets_of_all_connections_are_survived(tmp_path: Path, after: int) -> None:
    server = LinkServer(CONTENT, mishaps=deque([Mishap(cut_after=after, resets=True)] * 5))

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == CONTENT

    run(scene, server, tmp_path)


def test_a_stream_without_validator_begins_again_and_is_not_joined(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, etag=None)
    server.mishaps.append(Mishap(cut_after=1_000_000))
    server.mishaps.append(Mishap(first=lambda: setattr(server, "content", OTHER)))

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == OTHER
        assert buyer.server.gets() == [None, None]

    run(scene, server, tmp_path)


def test_a_server_that_never_sends_a_byte_is_given_up(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, mishaps=deque([Mishap(cut_after=0)] * 1000))

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(GetFailed, match=f"gave up after {MAX_ATTEMPTS} attempts"):
            await buyer.get()
        assert not buyer.target.exists()
        assert buyer.unfinished() is not None

    run(scene, server, tmp_path)


def test_one_byte_for_each_connection_is_progress(tmp_path: Path) -> None:
    server = LinkServer(CONTENT[:64], mishaps=deque([Mishap(cut_after=1)] * 63))

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == CONTENT[:64]

    run(scene, server, tmp_path)


# Stops and restarts


@pytest.mark.parametrize("connections", [1, 4])
def test_a_stopped_download_goes_on_with_what_is_missing(tmp_path: Path, connections: int) -> None:
    async def scene(buyer: Buyer) -> None:
        await stopped(buyer, SIZE // 2, connections=connections)
        note = buyer.unfinished()
        assert note is not None
        there = sum(end - first for first, end in note["done"])
        assert there >= SIZE // 2
        assert not buyer.target.exists()
        before = len(buyer.server.gets())
        got = await buyer.get(connections=connections)
        assert got.resumed_bytes == there
        assert asked_bytes(buyer.server.gets()[before:]) == SIZE - there
        assert buyer.target.read_bytes() == CONTENT
        assert buyer.left() == {"data.bin"}

    run(scene, LinkServer(CONTENT), tmp_path)


def test_bytes_of_an_older_version_are_dropped(tmp_path: Path) -> None:
    async def scene(buyer: Buyer) -> None:
        await stopped(buyer, SIZE // 2)
        buyer.server.content, buyer.server.etag = OTHER, '"v2"'
        got = await buyer.get()
        assert (got.resumed_bytes, got.etag) == (0, '"v2"')
        assert buyer.target.read_bytes() == OTHER

    run(scene, LinkServer(CONTENT), tmp_path)


def test_bytes_of_another_dataset_with_the_same_name_and_validator_are_dropped(tmp_path: Path) -> None:
    async def scene(buyer: Buyer) -> None:
        await stopped(buyer, SIZE // 2)
        buyer.note.write_bytes(buyer.note.read_bytes().replace(b"did/service/0", b"did/service/1"))
        got = await buyer.get()
        assert got.resumed_bytes == 0
        assert buyer.target.read_bytes() == CONTENT

    run(scene, LinkServer(CONTENT), tmp_path)


@pytest.mark.parametrize(
    "note",
    [
        b'{"source":"did/service/0","length":%d,"etag":"\\"v1\\"","done":[[0,%d]]}' % (SIZE, SIZE + 1),
        b'{"source":"did/service/0","length":%d,"etag":"\\"v1\\"","done":[[5,1]]}' % SIZE,
        b'{"source":"did/service/0","length":%d,"etag":"\\"v1\\"","done":[[0.5,1]]}' % SIZE,
        b'{"source":"did/service/0","length":%d,"etag":"\\"v1\\"","done":[[0,%d]]}' % (SIZE, SIZE),
    ],
    ids=["beyond the end", "backwards", "fraction", "file shorter than its note"],
)
def test_a_damaged_note_begins_again(tmp_path: Path, note: bytes) -> None:
    async def scene(buyer: Buyer) -> None:
        buyer.note.write_bytes(note)
        buyer.part.write_bytes(b"rubbish")
        got = await buyer.get()
        assert got.resumed_bytes == 0
        assert buyer.target.read_bytes() == CONTENT

    run(scene, LinkServer(CONTENT), tmp_path)


@pytest.mark.parametrize("note", [None, b"", b"{}", b"[1]", b'{"done":[]}'])
@pytest.mark.parametrize("part", [None, b"somebody else's"])
def test_what_it_did_not_leave_is_not_touched(tmp_path: Path, part: bytes | None, note: bytes | None) -> None:
    async def scene(buyer: Buyer) -> None:
        found = {path: content for path, content in ((buyer.part, part), (buyer.note, note)) if content is not None}
        for path, content in found.items():
            path.write_bytes(content)
        if found:
            with pytest.raises(GetFailed, match=r"was not left by provider get: move it away"):
                await buyer.get(force=True)
        else:
            await buyer.get()
        assert {path: path.read_bytes() for path in found} == found
        assert buyer.target.exists() is not bool(found)

    run(scene, LinkServer(CONTENT), tmp_path)


def test_a_run_that_was_killed_before_its_first_byte_is_taken_over(tmp_path: Path) -> None:
    with PartFile(tmp_path / "data.bin", "did/service/0") as part:
        part.begin(Facts(SIZE, '"v1"', has_ranges=True))
        left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, content in left.items():
        path.write_bytes(content)

    async def scene(buyer: Buyer) -> None:
        assert len(left) == 2
        assert (await buyer.get()).resumed_bytes == 0
        assert buyer.left() == {"data.bin"}

    run(scene, LinkServer(CONTENT), tmp_path)


def test_a_note_that_is_late_does_not_vouch_for_other_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save goes on in its thread after its download was cancelled, while the file begins again."""
    began, goes_on = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            began.set()
            assert goes_on.wait(60)

    async def scene() -> None:
        with PartFile(tmp_path / "data.bin", "a") as part:
            first, second = (Facts(100, etag, has_ranges=True) for etag in ('"v1"', '"v2"'))
            part.begin(first)
            part.write(0, bytes(50))
            with monkeypatch.context() as patched:
                patched.setattr(part_file.os, "fsync", slow)
                save = asyncio.ensure_future(part.save_if_due())
                await asyncio.to_thread(began.wait, 60)
                save.cancel()
                await asyncio.wait([save])
                assert part.begin(second) == 0
                goes_on.set()
                await asyncio.get_running_loop().shutdown_default_executor()
            # The first version comes back: its bytes do not.
            assert part.begin(first) == 0

    asyncio.run(scene())


def test_a_refused_run_leaves_the_bytes_of_the_one_before(tmp_path: Path) -> None:
    async def scene(buyer: Buyer) -> None:
        await stopped(buyer, SIZE // 2)
        before = buyer.unfinished()
        buyer.server.manifest = {"etag": None}
        buyer.server.good = set()
        real, buyer.server.renews = buyer.server._manifest, False
        buyer.server._manifest = lambda _: {"files": [{"index": 0, "url": "/d/none/0", "name": "x"}]}  # type: ignore[method-assign]
        with pytest.raises(GetFailed, match="The link has ended"):
            await buyer.get()
        assert buyer.unfinished() == before
        buyer.server._manifest, buyer.server.renews = real, True  # type: ignore[method-assign]
        assert (await buyer.get()).resumed_bytes > 0
        assert buyer.target.read_bytes() == CONTENT

    run(scene, LinkServer(CONTENT), tmp_path)


def test_two_downloads_of_one_file_do_not_mix(tmp_path: Path) -> None:
    async def scene(buyer: Buyer) -> None:
        failures: list[str] = []

        async def second() -> None:
            with pytest.raises(GetFailed, match="another process"):
                await buyer.get()
            failures.append("refused")

        started: list[asyncio.Task[None]] = []

        def progress(done: int, _: int | None) -> None:
            if not started:
                started.append(asyncio.ensure_future(second()))

        buyer.server.mishaps.append(Mishap(cut_after=10))
        await buyer.get(progress=progress)
        await asyncio.gather(*started)
        assert failures == ["refused"]
        assert buyer.target.read_bytes() == CONTENT

    run(scene, LinkServer(CONTENT), tmp_path)


# Changing files, lies


@pytest.mark.parametrize("request_number", [0, 1, 2])
def test_a_file_that_changes_between_two_ranges_is_never_a_mix(tmp_path: Path, request_number: int) -> None:
    server = LinkServer(CONTENT)

    def change() -> None:
        server.content, server.etag = OTHER, '"v2"'

    server.mishaps.extend([*[Mishap()] * request_number, Mishap(first=change)])

    async def scene(buyer: Buyer) -> None:
        got = await buyer.get(connections=1)
        assert buyer.target.read_bytes() == OTHER
        assert got.etag == '"v2"'

    run(scene, server, tmp_path)


def test_a_file_that_keeps_changing_fails_visibly(tmp_path: Path) -> None:
    server = LinkServer(CONTENT)
    versions = iter(range(100))

    def change() -> None:
        server.etag = f'"new-{next(versions)}"'

    server.mishaps.extend(Mishap(first=change) for _ in range(100))

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(GetFailed, match="changes while"):
            await buyer.get(connections=1)
        assert len(buyer.server.gets()) == MAX_VERSIONS
        assert not buyer.target.exists()

    run(scene, server, tmp_path)


@pytest.mark.parametrize("etag", ['"v1"', None], ids=["with validator", "without"])
@pytest.mark.parametrize("lie", [-1, 1])
def test_a_manifest_with_a_wrong_length_gives_no_wrong_file(tmp_path: Path, lie: int, etag: str | None) -> None:
    server = LinkServer(CONTENT, etag=etag, manifest={"length": SIZE + lie})

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == CONTENT

    run(scene, server, tmp_path)


def test_a_part_that_is_not_the_asked_one_is_not_written(tmp_path: Path) -> None:
    """The server answers every range with the first bytes, and says so only in Content-Range."""
    server = LinkServer(CONTENT)
    fields = server._fields
    server._fields = lambda length, part="": fields(length, f"bytes 0-{length - 1}/{SIZE}" if part else "")  # type: ignore[method-assign]

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == CONTENT
        assert buyer.server.gets()[-1] is None

    run(scene, server, tmp_path)


@pytest.mark.parametrize("is_right", [True, False])
def test_sha256_of_the_manifest_is_checked(tmp_path: Path, is_right: bool) -> None:
    server = LinkServer(CONTENT, manifest={"sha256": hashlib.sha256(CONTENT if is_right else OTHER).hexdigest()})

    async def scene(buyer: Buyer) -> None:
        if is_right:
            assert "sha256" in (await buyer.get()).checked
        else:
            with pytest.raises(GetFailed, match="sha256"):
                await buyer.get()
            assert buyer.left() == set()

    run(scene, server, tmp_path)


# Refusals of the moment, ends of links


def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    server = LinkServer(CONTENT[:1000], mishaps=deque([Mishap(429, b"Retry-After: 17\r\n")]))

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.pauses.seconds == [17.0]
        assert buyer.target.read_bytes() == CONTENT[:1000]

    run(scene, server, tmp_path)


def test_a_long_retry_after_ends_the_run_and_keeps_the_bytes(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, mishaps=deque([Mishap(), Mishap(503, b"Retry-After: 3600\r\n")]))

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(GetFailed, match="come back in 3600 s"):
            await buyer.get(connections=1)
        assert (await buyer.get()).resumed_bytes == MIN_PIECE_BYTES

    run(scene, server, tmp_path)


def test_a_server_that_allows_fewer_connections_gets_fewer(tmp_path: Path) -> None:
    """One worker is refused again and again, while the others go on."""
    server = LinkServer(CONTENT)
    serving = 0
    plain = server._get

    async def one_at_a_time(exchange: Any) -> bool:
        nonlocal serving
        if serving:
            server.mishaps.append(Mishap(503))
            return await plain(exchange)
        serving += 1
        try:
            return await plain(exchange)
        finally:
            serving -= 1

    server._get = one_at_a_time  # type: ignore[method-assign]

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == CONTENT

    run(scene, server, tmp_path)


@pytest.mark.parametrize("renews", [True, False], ids=["renewal", "new signature"])
@pytest.mark.parametrize("connections", [1, 4])
def test_a_link_that_ends_is_replaced(tmp_path: Path, renews: bool, connections: int) -> None:
    server = LinkServer(CONTENT, renews=renews)
    server.mishaps.extend([Mishap(), Mishap(401)])

    async def scene(buyer: Buyer) -> None:
        await buyer.get(connections=connections)
        assert buyer.target.read_bytes() == CONTENT
        assert len(buyer.server.asked) == (1 if renews else 2)

    run(scene, server, tmp_path)


def test_a_link_at_another_host_is_not_renewed_there(tmp_path: Path) -> None:
    """A manifest may name any host. The Provider is asked for a new link instead, with a signature."""
    server = LinkServer(CONTENT, links_host="localhost")
    server.mishaps.extend([Mishap(), Mishap(401)])

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert buyer.target.read_bytes() == CONTENT
        assert (buyer.server.count("POST", "/d/"), len(buyer.server.asked)) == (0, 2)

    run(scene, server, tmp_path)


def test_an_order_that_ended_meanwhile_says_so_and_keeps_the_bytes(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, renews=False)
    server.mishaps.extend([Mishap(), Mishap(410, first=lambda: setattr(server, "refusal", "Order has expired"))])

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(NoAccess, match="Order has expired"):
            await buyer.get(connections=1)
        assert buyer.unfinished() is not None

    run(scene, server, tmp_path)


def test_fresh_links_that_help_nothing_are_not_asked_for_without_end(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, mishaps=deque([Mishap(404)] * 100))

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(GetFailed, match="refuses"):
            await buyer.get()
        assert buyer.server.count("POST", "/d/") == MAX_RENEWALS

    run(scene, server, tmp_path)


def test_a_redirect_does_not_carry_the_link_elsewhere(tmp_path: Path) -> None:
    """The URL is a capability; another host, or anybody on a plain connection, could use it."""
    other = LinkServer(OTHER)

    async def scene() -> None:
        async with raw_origin(other) as elsewhere:
            away = Mishap(302, b"Location: " + elsewhere.url.encode() + b"/d/t1/0\r\n")
            async with buying(LinkServer(CONTENT, mishaps=deque([away] * 100)), tmp_path) as buyer:
                with pytest.raises(GetFailed):
                    await buyer.get()

    asyncio.run(scene())
    assert other.log == []


def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path: Path) -> None:
    pauses = Pauses()

    async def scene() -> None:
        context, _ = tls_contexts(tmp_path, "localhost")
        async with raw_origin(LinkServer(CONTENT), context=context) as origin, open_session() as session:
            with pytest.raises(GetFailed, match="not trusted"):
                await Links(session, origin.url, BUYER, pause=pauses).create(WANTED)

    asyncio.run(scene())
    assert pauses.seconds == []


# Everything at once


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_file_is_one_version_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Small pieces, and at random: cuts, refusals, ended links, new versions, stops of the buyer."""
    monkeypatch.setattr(plan, "MIN_PIECE_BYTES", 1000)
    chance = random.Random(seed)
    size = chance.randrange(1, 200_000)
    versions = {f'"v{number}"': bytes_of(size + number % 2, number) for number in range(1, 4)}
    server = LinkServer(
        versions['"v1"'],
        renews=chance.random() < 0.5,
        has_ranges=chance.random() < 0.9,
        honours_if_range=chance.random() < 0.4,
    )

    def change() -> None:
        server.etag = chance.choice(list(versions))
        server.content = versions[server.etag]

    def mishap() -> Mishap:
        kind = chance.randrange(8)
        if kind == 0:
            return Mishap(chance.choice([401, 404, 410, 412, 416, 429, 500, 503]))
        if kind == 1:
            return Mishap(first=change)
        return Mishap(cut_after=chance.randrange(size), resets=chance.random() < 0.3) if kind < 4 else Mishap()

    server.mishaps.extend(mishap() for _ in range(60))

    async def scene(buyer: Buyer) -> Fetched:
        for _ in range(100):
            if chance.random() < 0.5:
                await interrupted(buyer, chance.randrange(size), connections=chance.randrange(1, 9))
            else:
                try:
                    return await buyer.get(connections=chance.randrange(1, 9))
                except GetFailed:
                    assert not buyer.target.exists()
            if buyer.target.exists():
                # The interrupt came after the last byte.
                assert buyer.target.read_bytes() in versions.values()
                buyer.target.unlink()
        raise AssertionError("it never ends")

    got = run(scene, server, tmp_path)
    assert got.etag is not None
    assert (tmp_path / "data.bin").read_bytes() == versions[got.etag]


# The final name


def test_an_existing_file_is_not_replaced_without_force(tmp_path: Path) -> None:
    async def scene(buyer: Buyer) -> None:
        buyer.target.write_bytes(b"mine")
        with pytest.raises(TargetExists):
            await buyer.get()
        assert buyer.target.read_bytes() == b"mine"
        assert buyer.server.gets() == []
        await buyer.get(force=True)
        assert buyer.target.read_bytes() == CONTENT

    run(scene, LinkServer(CONTENT), tmp_path)


def test_a_file_that_appears_meanwhile_is_not_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    server = LinkServer(CONTENT)

    async def scene(buyer: Buyer) -> None:
        server.mishaps.append(Mishap(first=lambda: buyer.target.write_bytes(b"mine") and None))
        with pytest.raises(TargetExists):
            await buyer.get()
        assert buyer.target.read_bytes() == b"mine"
        before = len(buyer.server.gets())
        got = await buyer.get(force=True)
        assert got.resumed_bytes == SIZE
        assert len(buyer.server.gets()) == before
        assert buyer.target.read_bytes() == CONTENT

    run(scene, server, tmp_path)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (folder / "data.bin.part").symlink_to(victim)

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(GetFailed, match="cannot be written"):
            await buyer.get()
        assert victim.read_bytes() == b"precious"

    run(scene, LinkServer(CONTENT), folder)


def test_a_file_larger_than_the_disk_is_refused_at_once(tmp_path: Path) -> None:
    server = LinkServer(CONTENT, manifest={"length": 1 << 60})

    async def scene(buyer: Buyer) -> None:
        with pytest.raises(GetFailed, match="bytes free"):
            await buyer.get()
        assert buyer.server.gets() == []

    run(scene, server, tmp_path)


def test_the_request_is_signed_over_address_nonce_and_command(tmp_path: Path) -> None:
    """eth_account is the judge, as ocean.js signs: the hash of the text, with the prefix of EIP-191."""
    from eth_account import Account as Judge  # noqa: PLC0415
    from eth_account.messages import encode_defunct  # noqa: PLC0415
    from web3 import Web3  # noqa: PLC0415

    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        (asked,) = buyer.server.asked
        assert (asked["documentId"], asked["serviceId"]) == (WANTED.did, WANTED.service_id)
        assert asked["transferTxId"] == WANTED.order_tx_id
        text = f"{asked['consumerAddress']}{asked['nonce']}createLinks"
        signer = Judge.recover_message(encode_defunct(Web3.keccak(text=text)), signature=asked["signature"])
        assert signer == asked["consumerAddress"] == BUYER.address

    run(scene, LinkServer(CONTENT[:10]), tmp_path)


@pytest.mark.parametrize("nonce", ["1E+5000", "-1E+5000", "1e5000", "NaN", "Infinity", [], "x", 1e308])
def test_a_nonce_that_no_provider_has_does_not_stop_the_buyer(tmp_path: Path, nonce: object) -> None:
    async def scene(buyer: Buyer) -> None:
        await buyer.get()
        assert len(buyer.server.asked[0]["nonce"]) < 20

    run(scene, LinkServer(CONTENT[:10], nonce=nonce), tmp_path)


def test_ids_of_services_cannot_command_a_terminal() -> None:
    """An id is any text of the publisher's."""
    services = (SERVICE, replace(SERVICE, id="\x1b]0;evil\x07", datatoken=NFT))
    receipt = {"transactionHash": WANTED.order_tx_id, "status": "0x1", "blockNumber": "0x1", "logs": []}

    async def node(exchange: Exchange) -> bool:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": receipt}).encode()
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return True

    async def scene() -> None:
        async with raw_origin(node) as origin, open_session() as session:
            links = Links(session, origin.url, BUYER)
            search = OrderSearch(
                links,
                ASSET.did,
                service_id=None,
                order_tx_id=WANTED.order_tx_id,
                node=Node(links, origin.url),
                asset=replace(ASSET, services=services),
            )
            with pytest.raises(NoAccess) as refused:
                await search.run()
            assert str(refused.value).isprintable()

    asyncio.run(scene())


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    async def scene(buyer: Buyer) -> None:
        mask = os.umask(0o027)
        try:
            await buyer.get()
        finally:
            os.umask(mask)
        assert buyer.target.stat().st_mode & 0o777 == 0o640

    run(scene, LinkServer(CONTENT[:10]), tmp_path)
