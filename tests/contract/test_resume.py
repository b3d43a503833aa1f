"""Origins that are lost in the middle of a body: the rest comes from a new request, or the cut is seen."""

import asyncio
import hashlib
import http.client
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from provider.streaming.pipes import PipePool
from provider.streaming.relay import Relayed
from tests.support.flaky_file import Cut, FlakyFile, content, content_sha256
from tests.support.raw_origin import Exchange, tls_contexts
from tests.support.relay_server import Proxy, consumer, download, in_thread, proxied

SIZE = 2_500_003
LARGE = 1 << 27
ETAG = '"v1"'
PATHS = pytest.mark.parametrize("path", ["splice", "copy"])

resuming = partial(proxied, max_resumes=50)


def pool(path: str) -> PipePool:
    return PipePool(max_pipes=0) if path == "copy" else PipePool()


def fetch(client: http.client.HTTPConnection, **headers: str) -> tuple[bool, bytes]:
    """Did it arrive whole, and what arrived."""
    try:
        return True, download(client, **headers)[2]
    except http.client.IncompleteRead as cut:
        return False, cut.partial
    except ConnectionResetError:
        return False, b""


def digest(client: http.client.HTTPConnection) -> str:
    client.request("GET", "/x")
    reply, found = client.getresponse(), hashlib.sha256()
    while piece := reply.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


async def whole(proxy: Proxy) -> bool:
    return (await in_thread(proxy, fetch)) == (True, content(0, SIZE))


async def cut(proxy: Proxy) -> int:
    """How much arrived, which must be the beginning of the file and not look like all of it."""
    complete, got = await in_thread(proxy, fetch)
    assert not complete
    assert got == content(0, len(got))
    return len(got)


# Right after a head, one byte on, at odd places, twice and three times at the same offset; and between them heads that
# break off and connections without an answer.
TWENTY = [
    Cut(0), Cut(0, "reset"), Cut(1), Cut(17, "reset"), Cut(65_535), Cut(5, "in head"), Cut(65_536, "reset"),
    Cut(131_073), Cut(0), Cut(0), Cut(262_143, "reset"), Cut((1 << 20) + 7), Cut(500_011), Cut(2_000_003, "reset"),
    Cut(0, "no answer"), Cut(4_999_999), Cut(1, "reset"), Cut(10_000_007), Cut(0, "reset"), Cut(15_000_001),
    Cut(20_000_003, "reset"), Cut(3),
]  # fmt: skip


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(("path", "size"), [("splice", LARGE), ("copy", LARGE // 2)])
async def test_a_large_file_arrives_whole_over_twenty_lost_connections(path: str, size: int) -> None:
    file = FlakyFile(size, *TWENTY)
    async with resuming(file, pipes=pool(path)) as proxy:
        got = await in_thread(proxy, digest)
        assert got == content_sha256(size)
        assert await proxy.outcome() == Relayed(size, "complete", path, resumes=20)
        assert proxy.logged == [200]
    assert not file.cuts
    assert file.asked[0] == (None, None)
    assert {validator for _, validator in file.asked[1:]} == {ETAG}


@pytest.mark.gen_test(timeout=20)
async def test_a_time_well_in_the_past_will_do() -> None:
    fields = b"Last-Modified: Tue, 01 Sep 2026 10:00:00 GMT\r\nDate: Sun, 22 Nov 2026 18:00:00 GMT\r\n"
    file = FlakyFile(SIZE, Cut(1_000_001), fields=fields)
    async with resuming(file) as proxy:
        assert await whole(proxy)
    assert file.asked[1] == (f"bytes=1000001-{SIZE - 1}", "Tue, 01 Sep 2026 10:00:00 GMT")


@pytest.mark.gen_test(timeout=20)
@PATHS
@pytest.mark.parametrize("fields", [b"", b'ETag: W/"v1"\r\n', b'ETag: "v1"\r\nAccept-Ranges: none\r\n'])
async def test_without_a_strong_validator_and_ranges_it_ends_visibly_cut(path: str, fields: bytes) -> None:
    file = FlakyFile(SIZE, Cut(1_000_001), fields=fields)
    async with resuming(file, pipes=pool(path)) as proxy:
        assert await cut(proxy) <= 1_000_001
        assert await proxy.outcome() == Relayed(1_000_001, "upstream_truncated", path)
    assert len(file.asked) == 1


@pytest.mark.gen_test(timeout=20)
@PATHS
async def test_a_consumers_own_range_is_continued_in_it(path: str) -> None:
    file = FlakyFile(SIZE, Cut(300_001), Cut(0), Cut(500_000, "reset"))
    async with resuming(file, pipes=pool(path)) as proxy:
        complete, got = await in_thread(proxy, lambda client: fetch(client, Range="bytes=1000-2000999"))
        assert (complete, got == content(1000, 2_000_000)) == (True, True)
        assert (await proxy.outcome()).resumes == 3
    assert file.asked[0] == ("bytes=1000-2000999", None)
    assert file.asked[1] == file.asked[2] == ("bytes=301001-2000999", ETAG)


@pytest.mark.gen_test(timeout=20)
async def test_a_range_from_the_middle_on_is_continued_too() -> None:
    file = FlakyFile(SIZE, Cut(300_001))
    async with resuming(file) as proxy:
        complete, got = await in_thread(proxy, lambda client: fetch(client, Range="bytes=1000-"))
        assert (complete, got == content(1000, SIZE - 1000)) == (True, True)


@pytest.mark.gen_test(timeout=20)
async def test_an_origin_with_tls_is_continued(tmp_path: Path) -> None:
    file = FlakyFile(SIZE, Cut(700_001), Cut(0), Cut(16_384, "reset"))
    async with resuming(file, contexts=tls_contexts(tmp_path, "localhost")) as proxy:
        assert await whole(proxy)
        assert (await proxy.outcome()).path == "copy"
    assert len(file.asked) == 4


def answer(status: bytes, body: bytes, *, etag: bytes = b'ETag: "v1"\r\n', more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b X\r\nContent-Length: %d\r\n%b%b\r\n%b" % (status, len(body), etag, more, body)


def part(first: int, *, size: int = SIZE, last: int | None = None) -> bytes:
    return b"Content-Range: bytes %d-%d/%d\r\n" % (first, size - 1 if last is None else last, size)


AT = 1_000_001
OTHER = b"#" * (SIZE - AT)
OTHERS = {
    "all of a new version": answer(b"200", b"#" * SIZE, etag=b'ETag: "v2"\r\n'),
    "all of the same version": answer(b"200", content(0, SIZE)),
    "a part of a new version": answer(b"206", OTHER, etag=b'ETag: "v2"\r\n', more=part(AT)),
    "a part of an unknown version": answer(b"206", OTHER, etag=b"", more=part(AT)),
    "a part of a longer file": answer(b"206", OTHER + b"#", more=part(AT, size=SIZE + 1)),
    "a part from elsewhere": answer(b"206", OTHER + b"#", more=part(AT - 1)),
    "a shorter part": answer(b"206", OTHER[1:], more=part(AT, last=SIZE - 2)),
    "another length than stated": answer(b"206", OTHER[1:], more=part(AT)),
    "a part without its place": answer(b"206", OTHER),
    "416": answer(b"416", b"", more=b"Content-Range: bytes */%d\r\n" % SIZE),
    "404": answer(b"404", b"gone"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
}


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("other", list(OTHERS))
async def test_two_versions_are_never_mixed(other: str) -> None:
    file = FlakyFile(SIZE, Cut(AT))

    async def script(exchange: Exchange) -> bool:
        if exchange.field("Range") is None:
            return await file(exchange)
        await exchange.send(OTHERS[other])
        return False

    async with resuming(script) as proxy:
        assert await cut(proxy) <= AT
        assert await proxy.outcome() == Relayed(AT, "upstream_truncated", "splice")
        assert len(proxy.origin.exchanges) == 2


@pytest.mark.gen_test(timeout=20)
async def test_what_passes_by_itself_is_waited_for() -> None:
    file, answers = FlakyFile(SIZE, Cut(AT)), [answer(b"503", b"later"), answer(b"429", b""), answer(b"502", b"x" * 99)]

    async def script(exchange: Exchange) -> bool:
        if exchange.field("Range") is None or not answers:
            return await file(exchange)
        await exchange.send(answers.pop())
        return True

    async with resuming(script) as proxy:
        assert await whole(proxy)
        assert (await proxy.outcome()).resumes == 1


@pytest.mark.gen_test(timeout=20)
async def test_a_redirect_is_followed_anew() -> None:
    """The target of a redirect may have been valid for a short time only."""
    file = FlakyFile(SIZE, Cut(AT), Cut(5))
    places: list[str] = []

    async def script(exchange: Exchange) -> bool:
        if exchange.path == "/x":
            head = b"HTTP/1.1 302 X\r\nLocation: /signed/%d\r\nContent-Length: 0\r\n\r\n"
            await exchange.send(head % len(places))
            return True
        places.append(exchange.path)
        return await file(exchange)

    async with resuming(script) as proxy:
        assert await whole(proxy)
    assert places == ["/signed/0", "/signed/1", "/signed/2"]


@pytest.mark.gen_test(timeout=20)
async def test_the_number_of_attempts_is_limited() -> None:
    file = FlakyFile(SIZE, *[Cut(10_000)] * 100)
    async with proxied(file, max_resumes=3) as proxy:
        assert await cut(proxy) <= 40_000
        relayed = await proxy.outcome()
        assert (relayed.bytes_sent, relayed.outcome, relayed.resumes) == (40_000, "upstream_truncated", 3)
    assert len(file.asked) == 4


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("way", ["no answer", "in head", "close"])
async def test_an_origin_that_is_gone_for_good_is_given_up(way: str) -> None:
    """Attempts without a byte between them end after one idle limit, however many are left."""
    file = FlakyFile(SIZE, Cut(AT), *[Cut(0, way)] * 1000)
    async with proxied(file, max_resumes=1000, origin_idle_seconds=0.5) as proxy:
        assert await cut(proxy) <= AT
        assert (await proxy.outcome()).outcome == "upstream_truncated"
    assert 2 <= len(file.asked) < 20


@pytest.mark.gen_test(timeout=20)
@PATHS
async def test_a_stuck_origin_is_asked_again(path: str) -> None:
    file = FlakyFile(SIZE, Cut(AT, "stall"), Cut(7, "stall"))
    async with resuming(file, pipes=pool(path), origin_idle_seconds=0.2) as proxy:
        assert await whole(proxy)
        assert await proxy.outcome() == Relayed(SIZE, "complete", path, resumes=2)
        assert proxy.origin.open <= 1


@pytest.mark.gen_test(timeout=20)
@PATHS
async def test_an_origin_that_stays_stuck_is_given_up(path: str) -> None:
    file = FlakyFile(SIZE, Cut(AT, "stall"), *[Cut(0, "stall")] * 100)
    async with resuming(file, pipes=pool(path), origin_idle_seconds=0.2) as proxy:
        assert await cut(proxy) <= AT
        assert (await proxy.outcome()).outcome == "upstream_timed_out"
    assert len(file.asked) <= 3


async def leaves(proxy: Proxy, ready: Callable[[], bool]) -> Relayed:
    async with consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(AT)
        async with asyncio.timeout(30):
            while not ready():  # noqa: ASYNC110  the origin counts
                await asyncio.sleep(0.005)
    return await proxy.outcome()


@pytest.mark.gen_test(timeout=20)
@PATHS
async def test_a_consumer_that_leaves_ends_the_waiting_for_an_answer(path: str) -> None:
    file = FlakyFile(SIZE, Cut(AT))

    async def script(exchange: Exchange) -> bool:
        if exchange.field("Range") is None:
            return await file(exchange)
        await exchange.gone()
        return False

    async with resuming(script, pipes=pool(path)) as proxy:
        relayed = await leaves(proxy, lambda: len(proxy.origin.exchanges) == 2)
        assert relayed == Relayed(AT, "consumer_gone", path)
        async with asyncio.timeout(60):
            while proxy.origin.open:  # noqa: ASYNC110  the origin counts
                await asyncio.sleep(0.005)


@pytest.mark.gen_test(timeout=20)
async def test_a_consumer_that_leaves_ends_the_pauses() -> None:
    file = FlakyFile(SIZE, Cut(AT), *[Cut(0, "no answer")] * 1000)
    async with resuming(file) as proxy:
        relayed = await leaves(proxy, lambda: len(file.asked) > 3)
        assert relayed.outcome == "consumer_gone"
        asked = len(file.asked)
        await asyncio.sleep(0)
        assert len(file.asked) == asked


@pytest.mark.gen_test(timeout=20)
async def test_both_connections_are_used_again_after_it() -> None:
    file = FlakyFile(SIZE, Cut(AT))

    def twice(client: http.client.HTTPConnection) -> list[bool]:
        client.connect()
        local = client.sock.getsockname()
        bodies = [fetch(client) == (True, content(0, SIZE)) for _ in range(2)]
        assert client.sock is not None
        assert client.sock.getsockname() == local
        return bodies

    async with resuming(file) as proxy:
        assert await in_thread(proxy, twice) == [True, True]
        assert proxy.origin.connections == 2
