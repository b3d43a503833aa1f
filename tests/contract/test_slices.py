"""The slice cache in front of a real origin: one request for all who wait, and never a byte of another version."""

import asyncio
import os
import random
import resource
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from provider.errors import SourceRefused, UpstreamError, UpstreamTruncated
from provider.files.file_object import GraphqlFile, SourceFile, UrlFile
from provider.files.userdata import Userdata
from provider.slices import directory as directory_module
from provider.slices import fill as fill_module
from provider.slices import store as store_module
from provider.slices.directory import SliceWriter
from provider.upstream.answer import NotModified, Part, Unsatisfiable, Whole, answer_of
from provider.upstream.resume import rest_of
from provider.upstream.source import Source
from provider.upstream.wish import Preconditions, Tags, Wish
from tests.contract.test_sources import OTHER as OTHER_OWNER
from tests.contract.test_sources import SELLER, Chain, sources
from tests.support.raw_origin import Exchange, raw_origin
from tests.support.slice_cache import SLICE, body, slice_cache, until
from tests.support.versioned_file import VersionedFile

SIZE = 10 * SLICE + 12_345
CONTENT = random.Random(15).randbytes(SIZE)
OTHER = random.Random(16).randbytes(SIZE)
HOUR = 3600.0


@pytest.fixture
def file() -> VersionedFile:
    return VersionedFile(CONTENT)


async def start_of(source: Source, count: int) -> bytes:
    """Read `count` bytes and leave the source open."""
    found, room = b"", memoryview(bytearray(count))
    while len(found) < count:
        found += bytes(room[: await source.read_into(room[: count - len(found)])])
    return found


async def until_cut(source: Source) -> bytes:
    """Read up to the cut that must come. The bytes must be the beginning of the file."""
    got, room = bytearray(), memoryview(bytearray(50_000))
    try:
        while count := await source.read_into(room):
            got += room[:count]
    except UpstreamTruncated:
        assert got == CONTENT[: len(got)]
        return bytes(got)
    finally:
        source.close()
    raise AssertionError("the source ended cleanly")


@pytest.mark.gen_test
async def test_the_second_reader_costs_the_origin_nothing(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        assert await cache.read() == CONTENT
        # A slice that is complete before the first reader comes to it is a hit as well.
        before = cache.bytes_of("hit")
        assert cache.bytes_of("fill") + before == SIZE
        assert await cache.read() == CONTENT
        assert [request[0] for request in file.asked] == ["bytes=0-0", f"bytes=0-{SIZE - 1}"]
        assert len(cache.slices()) == 11
        assert cache.bytes_of("hit") - before == SIZE


@pytest.mark.gen_test
async def test_a_file_is_cached_from_its_second_request_on(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, from_request=2) as cache:
        assert await cache.read() == CONTENT
        assert not cache.slices()
        assert await cache.read() == CONTENT
        assert len(cache.slices()) == 11
        assert (cache.requests("passed"), cache.requests("checked")) == (1, 1)


@pytest.mark.gen_test
async def test_only_this_user_may_read_the_files_and_their_names_tell_nothing(
    file: VersionedFile, tmp_path: Path
) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        await cache.read()
        assert {path.stat().st_mode & 0o777 for path in cache.slices()} == {0o600}
        assert cache.slices()[0].parent.stat().st_mode & 0o777 == 0o700
        assert {path.name.rpartition("-")[0].strip("0123456789abcdef") for path in cache.slices()} == {""}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=5-9", 5, 9),
        (f"bytes={SLICE - 1}-{SLICE}", SLICE - 1, SLICE),
        ("bytes=-5", SIZE - 5, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes={3 * SLICE}-{4 * SLICE - 1}", 3 * SLICE, 4 * SLICE - 1),
    ],
)
async def test_a_range_costs_the_origin_its_slices_only(
    file: VersionedFile, tmp_path: Path, wanted: str, first: int, last: int
) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        source = await cache.open(wish=Wish(ranges=wanted))
        assert answer_of(Wish(ranges=wanted), source) == Part(first, last, SIZE)
        assert await body(source) == CONTENT[first : last + 1]
        assert file.sent_bytes <= 1 + SLICE * (1 + last // SLICE - first // SLICE)


@pytest.mark.gen_test
async def test_one_byte_of_each_slice_does_not_pull_the_file(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        for first in range(0, SIZE - SLICE, SLICE):
            assert await cache.read(wish=Wish(ranges=f"bytes={first}-{first}")) == CONTENT[first : first + 1]
        assert file.sent_bytes == 1 + 10
        assert not cache.slices()
        assert cache.requests("passed") == 10


@pytest.mark.gen_test
async def test_a_small_range_that_is_asked_again_and_again_is_cached(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        for _ in range(5):
            assert await cache.read(wish=Wish(ranges="bytes=70000-70009")) == CONTENT[70_000:70_010]
        assert file.sent_bytes == 1 + 10 + SLICE
        assert (cache.requests("passed"), len(cache.slices())) == (1, 1)


@pytest.mark.gen_test
async def test_two_bytes_on_both_sides_of_a_border_do_not_pull_two_slices(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        wish = Wish(ranges=f"bytes={SLICE - 1}-{SLICE}")
        assert await cache.read(wish=wish) == CONTENT[SLICE - 1 : SLICE + 1]
        assert file.sent_bytes == 3
        # The slice that is there costs nothing, so the other one decides alone.
        await cache.read(wish=Wish(ranges=f"bytes=0-{SLICE - 1}"))
        assert await cache.read(wish=wish) == CONTENT[SLICE - 1 : SLICE + 1]
        assert len(cache.slices()) == 2


@pytest.mark.gen_test
async def test_a_small_range_is_read_from_a_slice_that_another_worker_wrote(
    file: VersionedFile, tmp_path: Path
) -> None:
    async with (
        raw_origin(file) as origin,
        slice_cache(tmp_path, origin.url) as one,
        slice_cache(tmp_path, origin.url) as other,
    ):
        await one.read()
        assert await other.read(wish=Wish(ranges="bytes=5-9")) == CONTENT[5:10]
        assert len(file.bodies) == 1


@pytest.mark.gen_test
async def test_a_range_beyond_the_end_is_answered_without_a_slice(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        wish = Wish(ranges=f"bytes={SIZE}-")
        source = await cache.open(wish=wish)
        assert answer_of(wish, source) == Unsatisfiable(SIZE)
        source.release()
        assert len(file.asked) == 1


@pytest.mark.gen_test
async def test_several_ranges_go_to_the_origin(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        (await cache.open(wish=Wish(ranges="bytes=0-0,5-6"))).close()
        assert cache.requests("passed") == 1


@pytest.mark.gen_test
async def test_a_part_is_of_the_version_that_if_range_names_or_it_is_the_whole(
    file: VersionedFile, tmp_path: Path
) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        for tag, expected in (('"v1"', Part(5, 9, SIZE)), ('"v0"', Whole(SIZE))):
            wish = Wish(ranges="bytes=5-9", if_range=tag)
            source = await cache.open(wish=wish)
            assert answer_of(wish, source) == expected
            source.close()


@pytest.mark.gen_test
async def test_a_consumer_who_has_this_version_costs_no_slice(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        wish = Wish(preconditions=Preconditions(if_none_match=Tags(('"v1"',))))
        source = await cache.open(wish=wish)
        assert answer_of(wish, source) == NotModified()
        source.release()
        assert not file.bodies


@pytest.mark.gen_test
async def test_a_stale_file_costs_one_conditional_request(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, fresh_seconds=0) as cache:
        await cache.read()
        sent = file.sent_bytes
        assert await cache.read() == CONTENT
        assert file.asked[-1] == ("bytes=0-0", '"v1"')
        assert file.sent_bytes == sent


@pytest.mark.gen_test
async def test_a_date_validates_as_well_as_a_tag(tmp_path: Path) -> None:
    dated = b"Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\nDate: Mon, 30 Nov 2026 10:00:00 GMT\r\n"
    file = VersionedFile(CONTENT, tag="", fields=dated)
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, fresh_seconds=0) as cache:
        assert await cache.read() == CONTENT
        assert await cache.read() == CONTENT
        assert len(file.bodies) == 1


@pytest.mark.gen_test
async def test_a_new_version_replaces_the_old_slices(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, fresh_seconds=0) as cache:
        await cache.read()
        before = cache.slices()
        file.content, file.tag = OTHER, '"v2"'
        assert await cache.read() == OTHER
        assert len(cache.slices()) == 11
        assert not set(cache.slices()) & set(before)


@pytest.mark.gen_test
async def test_a_file_of_any_length_may_change_without_holding_up_the_event_loop(tmp_path: Path) -> None:
    async def endless(exchange: Exchange) -> bool:
        head = f'HTTP/1.1 206 Partial Content\r\nETag: "{len(tags)}"\r\nContent-Range: bytes 0-0/{1 << 42}\r\n'
        tags.append(1)
        await exchange.send(head.encode() + b"Cache-Control: no-cache\r\nContent-Length: 1\r\n\r\nx")
        return True

    tags: list[int] = []
    async with raw_origin(endless) as origin, slice_cache(tmp_path, origin.url) as cache:
        began = time.process_time()
        for _ in range(3):
            assert await cache.read(wish=Wish(ranges="bytes=0-0")) == b"x"
        # 67 million names take more than ten.
        assert time.process_time() - began < 5


@pytest.mark.gen_test
async def test_an_origin_that_says_no_cache_is_asked_each_time(file: VersionedFile, tmp_path: Path) -> None:
    file.fields = b"Cache-Control: no-cache\r\n"
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, fresh_seconds=HOUR) as cache:
        await cache.read()
        await cache.read()
        assert [request[0] for request in file.asked].count("bytes=0-0") == 2


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "fields",
    [
        b"Cache-Control: no-store\r\n",
        b"Cache-Control: max-age=60, Private\r\n",
        b'Cache-Control: private="x"\r\n',
        b"Vary: Accept-Encoding, Cookie\r\n",
        b"Vary: *\r\n",
    ],
)
async def test_what_must_not_be_shared_is_not_kept(file: VersionedFile, tmp_path: Path, fields: bytes) -> None:
    file.fields = fields
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        assert await cache.read() == CONTENT
        assert await cache.read() == CONTENT
        assert not cache.slices()


@pytest.mark.gen_test
@pytest.mark.parametrize("tag", ["", 'W/"v1"', "v1", '"'])
async def test_nothing_is_kept_without_a_strong_validator(file: VersionedFile, tmp_path: Path, tag: str) -> None:
    file.tag = tag
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        assert await cache.read() == CONTENT
        assert not cache.slices()


@pytest.mark.gen_test
async def test_nothing_is_kept_of_an_origin_without_ranges(file: VersionedFile, tmp_path: Path) -> None:
    file.has_ranges = False
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        assert await cache.read() == CONTENT
        assert not cache.slices()


@pytest.mark.gen_test
async def test_the_answer_to_a_post_is_not_kept(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        await cache.read(cache.file(method="POST"))
        await cache.read(GraphqlFile(url=origin.url, query="{a}"))
        assert cache.requests("passed") == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["Range", "if-match"])
async def test_a_publishers_own_range_or_condition_passes_the_cache(
    file: VersionedFile, tmp_path: Path, name: str
) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        (await cache.open(cache.file(headers=((name, "bytes=0-9"),)))).close()
        assert cache.requests("passed") == 1


@pytest.mark.gen_test
async def test_whoever_asks_differently_gets_nothing_of_what_another_opened(
    file: VersionedFile, tmp_path: Path
) -> None:
    """Another asset, other credentials, another address with the same entity tag, other user data."""
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        await cache.read(cache.file(headers=(("Authorization", "Bearer a"),)))
        others = [
            cache.file(),
            cache.file(headers=(("Authorization", "Bearer b"),)),
            cache.file(headers=(("Authorization", "Bearer a"),), party="did:op:" + "cd" * 32),
            cache.file("/g", headers=(("Authorization", "Bearer a"),)),
        ]
        file.content = OTHER
        for other in others:
            assert await cache.read(other) == OTHER
        source = await cache.open(
            cache.file(headers=(("Authorization", "Bearer a"),)), userdata=Userdata({"year": "2026"})
        )
        assert await body(source) == OTHER


@pytest.mark.gen_test
async def test_a_file_of_a_source_is_cached_for_the_assets_of_its_publishers_only(
    file: VersionedFile, tmp_path: Path
) -> None:
    chain = Chain()
    async with (
        raw_origin(file) as origin,
        sources(chain, x={"url": origin.url}) as named,
        slice_cache(tmp_path, origin.url, sources=named) as cache,
    ):
        bought = SourceFile("x", "f", SELLER)
        for _ in range(2):
            assert await cache.read(bought) == CONTENT
        assert len(file.bodies) == 1
        chain.answerable = frozenset({OTHER_OWNER})
        with pytest.raises(SourceRefused):
            await cache.read(bought)


@pytest.mark.gen_test
@pytest.mark.parametrize(("hint", "transfers"), [("auto", 2), ("always", 1), ("never", 3)])
async def test_a_source_says_whether_its_files_are_kept(
    file: VersionedFile, tmp_path: Path, hint: str, transfers: int
) -> None:
    async with (
        raw_origin(file) as origin,
        sources(x={"url": origin.url, "cache": hint}) as named,
        slice_cache(tmp_path, origin.url, sources=named, from_request=2) as cache,
    ):
        for _ in range(3):
            assert await cache.read(SourceFile("x", "f", SELLER)) == CONTENT
        assert len(file.bodies) == transfers
        assert bool(cache.slices()) == (hint != "never")


@pytest.mark.gen_test
async def test_a_file_of_a_folder_is_not_cached(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "f").write_bytes(CONTENT)
    async with (
        sources(x={"path": str(folder)}) as named,
        slice_cache(tmp_path / "cache", "", sources=named) as cache,
    ):
        assert await cache.read(SourceFile("x", "f", SELLER)) == CONTENT
        assert not cache.slices()


@pytest.mark.gen_test
async def test_two_origins_with_the_same_tag_are_two_files(file: VersionedFile, tmp_path: Path) -> None:
    second = VersionedFile(OTHER)
    async with raw_origin(file) as one, raw_origin(second) as other, slice_cache(tmp_path, one.url) as cache:
        assert await cache.read(UrlFile(one.url + "/f")) == CONTENT
        assert await cache.read(UrlFile(other.url + "/f")) == OTHER


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "lie",
    [{"content": OTHER[:-1]}, {"content": OTHER, "fields": b"Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n"}],
    ids=["length", "date"],
)
async def test_a_tag_that_stays_while_the_file_changes_is_noticed(
    file: VersionedFile, tmp_path: Path, lie: dict[str, object]
) -> None:
    """By another length or date. A file that changes behind all three is what the origin says it is."""
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        await cache.read(wish=Wish(ranges="bytes=0-9999"))
        vars(file).update(lie)
        source = await cache.open()
        with pytest.raises(UpstreamTruncated):
            # The first slice is of the old version, so the rest cannot be joined to it.
            await body(source)
        assert await cache.read() == file.content


@pytest.mark.gen_test
async def test_fifty_who_ask_for_a_cold_file_at_once_cost_one_transfer(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        found = await asyncio.gather(*(cache.read() for _ in range(50)))
        assert all(content == CONTENT for content in found)
        assert file.sent_bytes <= 1.05 * SIZE
        assert len(file.asked) == 2


@pytest.mark.gen_test
async def test_parallel_ranges_of_one_consumer_cost_one_transfer(file: VersionedFile, tmp_path: Path) -> None:
    """As aria2 asks: parts of any size, none of which begins with a slice."""
    step = SIZE // 8
    wishes = [Wish(ranges=f"bytes={first}-{min(first + step, SIZE) - 1}") for first in range(0, SIZE, step)]
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        found = await asyncio.gather(*(cache.read(wish=wish) for wish in wishes))
        assert b"".join(found) == CONTENT
        assert file.sent_bytes == SIZE + 1


@pytest.mark.gen_test
async def test_readers_who_begin_anywhere_get_the_right_bytes(file: VersionedFile, tmp_path: Path) -> None:
    wishes = [Wish(ranges=f"bytes={first}-") for first in range(0, SIZE, SLICE // 2)]
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        found = await asyncio.gather(*(cache.read(wish=wish) for wish in wishes))
        assert [len(content) for content in found] == [SIZE - first for first in range(0, SIZE, SLICE // 2)]
        assert all(content == CONTENT[SIZE - len(content) :] for content in found)
        assert not cache.unfinished()


@pytest.mark.gen_test
async def test_a_fill_goes_on_for_the_last_of_fifty_readers(file: VersionedFile, tmp_path: Path) -> None:
    file.gate.clear()
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, fresh_seconds=HOUR) as cache:
        file.gate.set()
        await cache.read(wish=Wish(ranges="bytes=0-0"))
        sources = [await cache.open() for _ in range(50)]
        await asyncio.gather(*(start_of(source, 5) for source in sources))
        for source in sources[:49]:
            source.close()
        assert await body(sources[49]) == CONTENT[5:]
        assert file.sent_bytes <= 1.05 * SIZE + SLICE


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("distant_seconds", "from_bytes", "read_ahead", "at_once"),
    [(0.0, 0, 4, {3, 4, 5}), (0.0, 0, 1, {1}), (HOUR, 0, 4, {1}), (0.0, SIZE + 1, 4, {1})],
    ids=["distant", "turned off", "near", "small file"],
)
async def test_slices_of_a_distant_origin_are_fetched_at_once(
    file: VersionedFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    distant_seconds: float,
    from_bytes: int,
    read_ahead: int,
    at_once: set[int],
) -> None:
    monkeypatch.setattr(fill_module, "_READ_AHEAD_FROM_BYTES", from_bytes)
    monkeypatch.setattr(fill_module, "_DISTANT_SECONDS", distant_seconds)
    # So that requests which are sent together are also answered together.
    file.distance_seconds = 0.03
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, read_ahead=read_ahead) as cache:
        assert await cache.read() == CONTENT
        assert file.sent_bytes == SIZE + 1
        assert file.most_at_once in at_once
        assert await cache.read() == CONTENT


@pytest.mark.gen_test
async def test_one_slow_answer_of_a_distant_origin_does_not_hold_up_the_others(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "_READ_AHEAD_FROM_BYTES", 0)
    monkeypatch.setattr(fill_module, "_DISTANT_SECONDS", 0.0)
    file.gated_first = SLICE
    file.gate.clear()
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, read_ahead=2) as cache:
        reading = asyncio.ensure_future(cache.read())
        # All but the second, as far as twice the two that are fetched at once.
        await until(lambda: len(cache.slices()) == 5)
        await until(lambda: cache.fills() == 1)
        assert [path.name[-2:] for path in cache.slices()] == ["-0", "-2", "-3", "-4", "-5"]
        file.gate.set()
        assert await reading == CONTENT
        assert file.sent_bytes == SIZE + 1


@pytest.mark.gen_test
async def test_a_reader_who_reads_nothing_is_not_read_ahead_for(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a HEAD: others who read the file make it fetch nothing."""
    monkeypatch.setattr(fill_module, "_READ_AHEAD_FROM_BYTES", 0)
    monkeypatch.setattr(fill_module, "_DISTANT_SECONDS", 0.0)
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, fresh_seconds=HOUR) as cache:
        await cache.read(wish=Wish(ranges="bytes=0-0"))
        has_this = Preconditions(if_none_match=Tags((file.tag,)))
        idle = await cache.open(wish=Wish(preconditions=has_this))
        await cache.read(wish=Wish(ranges=f"bytes={5 * SLICE}-{6 * SLICE - 1}"))
        assert [path.name[-2:] for path in cache.slices()] == ["-5"]
        idle.close()


@pytest.mark.gen_test
@pytest.mark.parametrize(("pieces", "kept"), [(1, 0), (2, 1)], ids=["early", "late"])
async def test_with_nobody_left_a_fill_ends_with_its_slice_or_early_at_once(
    file: VersionedFile, tmp_path: Path, pieces: int, kept: int
) -> None:
    """Whoever asks for much and leaves at once does not cost the origin whole slices."""
    file.hold_at = 1 + pieces * SLICE
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, slice_bytes=4 * SLICE) as cache:
        source = await cache.open()
        await start_of(source, pieces * SLICE)
        source.close()
        if kept:
            file.hold_at = SIZE
        await until(lambda: not cache.fills())
        assert len(cache.slices()) == kept
        assert not cache.unfinished()


@pytest.mark.gen_test
async def test_a_slice_is_kept_for_a_reader_who_wanted_its_beginning_only(file: VersionedFile, tmp_path: Path) -> None:
    file.hold_at = 1 + SLICE
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, slice_bytes=4 * SLICE) as cache:
        assert await body(await cache.open(wish=Wish(ranges=f"bytes=0-{SLICE - 1}"))) == CONTENT[:SLICE]
        file.hold_at = SIZE
        await until(lambda: not cache.fills())
        assert len(cache.slices()) == 1


@pytest.mark.gen_test
async def test_a_fill_stays_near_its_slowest_only_reader(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        source = await cache.open()
        await until(lambda: len(cache.slices()) == 3)
        await start_of(source, 5)
        assert len(cache.slices()) == 3
        assert await body(source) == CONTENT[5:]


@pytest.mark.gen_test
async def test_a_fill_that_nobody_wants_any_more_is_given_up(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An origin that dribbles keeps no fill alive."""
    monkeypatch.setattr(fill_module, "_LONELY_SECONDS", 0.01)
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        await cache.read(wish=Wish(ranges=f"bytes={SIZE - 1}-"))
        file.gate.clear()
        opening = asyncio.ensure_future(cache.open())
        await until(cache.fills)
        opening.cancel()
        await until(lambda: not cache.fills())
        assert not cache.unfinished()


@pytest.mark.gen_test
async def test_one_download_more_than_there_may_be_fills_passes_the_cache(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "MAX_FILLS", 0)
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        assert await cache.read() == CONTENT
        assert not cache.slices()


@pytest.mark.gen_test
async def test_an_origin_that_breaks_off_is_a_cut_and_the_rest_can_be_asked_for(
    file: VersionedFile, tmp_path: Path
) -> None:
    file.cut_after = 3 * SLICE + 100
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        source = await cache.open()
        whole = rest_of(source)
        assert whole is not None
        got = await until_cut(source)
        assert len(got) >= 3 * SLICE
        file.cut_after = None
        # A fill that began ahead of the reader breaks off, too.
        await until(lambda: not cache.fills())
        rest = whole.after(len(got))
        answer = await cache.open(rest=rest)
        assert rest.is_in(answer)
        assert got + await body(answer) == CONTENT


@pytest.mark.gen_test
async def test_a_file_that_changes_in_the_middle_is_a_cut(file: VersionedFile, tmp_path: Path) -> None:
    file.cut_after = 3 * SLICE + 100
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        source = await cache.open()
        whole = rest_of(source)
        assert whole is not None
        file.content, file.tag = OTHER, '"v2"'
        got = await until_cut(source)
        rest = whole.after(len(got))
        answer = await cache.open(rest=rest)
        assert not rest.is_in(answer)
        answer.close()
        file.cut_after = None
        assert await cache.read() == OTHER


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [403, 404, 500])
async def test_the_origins_refusal_is_what_the_caller_gets(file: VersionedFile, tmp_path: Path, status: int) -> None:
    file.status = status
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        source = await cache.open()
        assert source.status == status
        source.close()


@pytest.mark.gen_test
async def test_an_origin_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    async with slice_cache(tmp_path, "http://127.0.0.1:1") as cache:
        with pytest.raises(UpstreamError):
            await cache.open()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path) -> None:
    shutil.copy(path.with_name(path.name.rpartition("-")[0] + "-3"), path)


@pytest.mark.gen_test
@pytest.mark.parametrize("harm", [damage, tear, empty, swap])
async def test_a_slice_that_is_not_what_was_written_is_fetched_again(
    file: VersionedFile, tmp_path: Path, harm: object
) -> None:
    async with raw_origin(file) as origin:
        async with slice_cache(tmp_path, origin.url) as cache:
            await cache.read()
        assert callable(harm)
        harm(cache.slices()[5])
        async with slice_cache(tmp_path, origin.url) as cache:
            sent = file.sent_bytes
            assert await cache.read() == CONTENT
            assert file.sent_bytes - sent <= SLICE + 1
            assert cache.metrics.errors.values[("damaged",)] == 1


@pytest.mark.gen_test
async def test_slices_outlive_their_server(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin:
        async with slice_cache(tmp_path, origin.url) as cache:
            await cache.read()
        async with slice_cache(tmp_path, origin.url) as cache:
            assert cache.held_bytes() > SIZE
            assert await cache.read() == CONTENT
            assert len(file.bodies) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("has_other_key", [True, False], ids=["key", "format"])
async def test_a_server_with_another_key_or_format_finds_nothing_and_clears_up(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_other_key: bool
) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("mine")
    async with raw_origin(file) as origin:
        async with slice_cache(tmp_path, origin.url) as cache:
            await cache.read()
        if not has_other_key:
            monkeypatch.setattr(directory_module, "_FORMAT", 2)
        async with slice_cache(tmp_path, origin.url, secret=(b"t" if has_other_key else b"s") * 32) as cache:
            assert not cache.slices()
            assert await cache.read() == CONTENT
            assert len(file.bodies) == 2
    assert foreign.read_text() == "mine"


@pytest.mark.gen_test
async def test_two_workers_share_one_directory(file: VersionedFile, tmp_path: Path) -> None:
    async with (
        raw_origin(file) as origin,
        slice_cache(tmp_path, origin.url) as one,
        slice_cache(tmp_path, origin.url) as other,
    ):
        assert await one.read() == CONTENT
        assert await other.read() == CONTENT
        assert len(file.bodies) == 1
        for path in one.slices()[::2]:
            path.unlink()
        assert await other.read() == CONTENT
        assert await one.read() == CONTENT
        found = await asyncio.gather(*(cache.read(cache.file("/g")) for cache in (one, other) for _ in range(5)))
        assert all(content == CONTENT for content in found)


@pytest.mark.gen_test
async def test_a_slice_behind_one_of_another_worker_is_asked_for_anew(file: VersionedFile, tmp_path: Path) -> None:
    """A fill ends where another worker has the next slice. Readers of the one after that go on all the same."""
    async with (
        raw_origin(file) as origin,
        slice_cache(tmp_path, origin.url, fresh_seconds=HOUR) as cache,
        slice_cache(tmp_path, origin.url, fresh_seconds=HOUR) as other,
    ):
        for each in (cache, other):
            await each.read(wish=Wish(ranges="bytes=0-0"))
        await other.read(wish=Wish(ranges=f"bytes={SLICE}-{2 * SLICE - 1}"))
        file.gated_first = 0
        file.gate.clear()
        opening = asyncio.ensure_future(cache.open())
        await until(cache.fills)
        behind = await cache.open(wish=Wish(ranges=f"bytes={SLICE}-{3 * SLICE - 1}"))
        assert await start_of(behind, SLICE) == CONTENT[SLICE : 2 * SLICE]
        file.gate.set()
        assert await body(behind) == CONTENT[2 * SLICE : 3 * SLICE]
        assert await body(await opening) == CONTENT


@pytest.mark.gen_test
async def test_the_cache_stays_within_its_size(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, max_bytes=1 << 20) as cache:
        for number in range(6):
            assert await cache.read(cache.file(f"/{number}")) == CONTENT
        assert sum(path.stat().st_size for path in cache.slices()) <= 1 << 20
        assert cache.held_bytes() <= 1 << 20


@pytest.mark.gen_test
async def test_a_slice_is_not_evicted_under_its_reader(file: VersionedFile, tmp_path: Path) -> None:
    """Not by this worker. Another one may remove its name, but not its bytes."""
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url, max_bytes=1 << 20) as cache:
        await cache.read(cache.file("/0"))
        stalled = await cache.open(cache.file("/0"), wish=Wish(ranges=f"bytes=0-{SLICE - 1}"))
        got = await start_of(stalled, 1)
        for number in range(1, 6):
            await cache.read(cache.file(f"/{number}"))
        assert sum(path.stat().st_size for path in cache.slices()) <= 1 << 20
        for path in cache.slices():
            path.unlink()
        assert got + await body(stalled) == CONTENT[:SLICE]


@pytest.mark.gen_test
async def test_a_full_disk_passes_the_cache(
    file: VersionedFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SLICE // 2, limits[1]))
        try:
            assert await cache.read() == CONTENT
            assert await cache.read() == CONTENT
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not cache.slices()
        assert not cache.unfinished()
        assert [record.getMessage() for record in caplog.records if record.name == "provider.slices"] == [
            "slice cache paused: EFBIG; files are served without it"
        ]
        assert cache.metrics.errors.values[("disk",)] >= 1


@pytest.mark.gen_test
async def test_a_disk_that_works_again_is_used_again(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_SHORTEST_RESCAN_SECONDS", 0.01)
    monkeypatch.setattr(store_module, "_RESCAN_SECONDS", 0.01)
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("")
    async with raw_origin(file) as origin, slice_cache(in_the_way, origin.url) as cache:
        await cache.read()
        assert not cache.is_up()
        in_the_way.unlink()
        await until(cache.is_up)
        await cache.read()
        assert len(cache.slices()) == 11


@pytest.mark.gen_test
async def test_a_disk_that_hangs_holds_nobody(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = threading.Event()
    written = SliceWriter.append

    def append(writer: SliceWriter, data: memoryview) -> None:
        disk.wait(20)
        written(writer, data)

    monkeypatch.setattr(store_module, "_HANGS_SECONDS", 0.05)
    monkeypatch.setattr(SliceWriter, "append", append)
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        try:
            assert await body(await cache.open()) == CONTENT
            assert not cache.is_up()
        finally:
            disk.set()


@pytest.mark.gen_test
async def test_slices_on_a_slow_disk_are_in_nobodys_way(
    file: VersionedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verifying reads whole slices. Whoever reads slices that were verified does not wait for that."""
    disk = threading.Event()
    is_sound = directory_module._is_sound

    def slowly(*args: Any) -> bool:
        return disk.wait(20) and is_sound(*args)

    monkeypatch.setattr(store_module, "_SMALL_BYTES", SLICE // 2)
    async with raw_origin(file) as origin:
        async with slice_cache(tmp_path, origin.url) as cache:
            await cache.read(cache.file("/cold"))
            await cache.read(cache.file("/hot"))
        async with slice_cache(tmp_path, origin.url) as cache:
            await cache.read(cache.file("/hot"))
            monkeypatch.setattr(directory_module, "_is_sound", slowly)
            wishes = [Wish(ranges=f"bytes={first}-{first + SLICE - 1}") for first in range(0, 10 * SLICE, SLICE)]
            cold = [asyncio.ensure_future(cache.read(cache.file("/cold"), wish=wish)) for wish in wishes]
            try:
                async with asyncio.timeout(10):
                    assert await body(await cache.open(cache.file("/hot"))) == CONTENT
                assert not any(reading.done() for reading in cold)
            finally:
                disk.set()
            assert b"".join(await asyncio.gather(*cold)) == CONTENT[: 10 * SLICE]
            assert len(file.bodies) == 2


@pytest.mark.gen_test
async def test_a_directory_that_vanishes_is_made_again(file: VersionedFile, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    async with raw_origin(file) as origin, slice_cache(folder, origin.url) as cache:
        await cache.read()
        shutil.rmtree(folder)
        assert await cache.read() == CONTENT
        assert cache.slices()


@pytest.mark.gen_test
async def test_a_directory_that_cannot_be_made_pauses_the_cache(file: VersionedFile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with raw_origin(file) as origin, slice_cache(tmp_path / "file" / "cache", origin.url) as cache:
        assert await cache.read() == CONTENT
        assert cache.requests("passed") == 1


@pytest.mark.gen_test
async def test_no_descriptor_stays_open(file: VersionedFile, tmp_path: Path) -> None:
    async with raw_origin(file) as origin, slice_cache(tmp_path, origin.url) as cache:
        await asyncio.gather(*(cache.read() for _ in range(5)))
        openings = [asyncio.ensure_future(cache.open()) for _ in range(20)]
        for opening in openings[::2]:
            opening.cancel()
        for opening in await asyncio.gather(*openings[1::2]):
            opening.close()
        await asyncio.gather(*openings, return_exceptions=True)
        await until(lambda: not cache.fills())
        await until(lambda: not cache.open_slices())
