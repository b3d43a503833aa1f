"""Zero copy over real sockets: every framing on either side, keep-alive, ends at every stage, and going without.

`test_splice_as_nobody.py` runs this file once more as an unprivileged user.
"""

import asyncio
import errno
import hashlib
import http.client
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET

import pytest

from provider.streaming import pipes as pipes_module
from provider.streaming import splice_pump
from provider.streaming.epoll_watcher import loop_watcher
from provider.streaming.pipes import PipePool
from provider.streaming.relay import SPLICE_FROM_BYTES, Relayed
from provider.streaming.splice_writer import SpliceWriter
from tests.support.raw_origin import Exchange, Script, answering
from tests.support.relay_server import (
    CHUNKED,
    TO_THE_END,
    WITH_LENGTH,
    Proxy,
    chunks,
    consumer,
    download,
    in_thread,
    proxied,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "splice"), reason="the system does not splice")

# No period that a piece size divides: a piece lost, doubled or moved is seen.
DATA = hashlib.shake_256(b"splice").digest(3_000_017)
GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
RESET = struct.pack("ii", 1, 0)
LAST = b"0\r\n\r\n"


def mixed_chunks() -> bytes:
    """Chunks of one byte up to a megabyte, with an extension and a trailer."""
    sizes, at, out = (1, 1 << 20, 10, 70_000, 65_536, 3, 200_000, 65_535), 0, b""
    while at < len(DATA):
        for size in sizes:
            piece = DATA[at : at + size]
            if piece:
                out += b"%x;name=value\r\n%b\r\n" % (len(piece), piece)
            at += size
    return out + b"0\r\nTrailer: yes\r\n\r\n"


ANSWERS = {
    "length": WITH_LENGTH % len(DATA) + DATA,
    "close": TO_THE_END + DATA,
    "one chunk": CHUNKED + chunks(DATA, len(DATA)) + LAST,
    "large chunks": CHUNKED + chunks(DATA, 500_000) + LAST,
    "small chunks": CHUNKED + chunks(DATA, 9_999) + LAST,
    "mixed chunks": CHUNKED + mixed_chunks(),
}
FRAMINGS = list(ANSWERS)


@asynccontextmanager
async def splicing(script: Script, *, pipes: PipePool | None = None, **limits: float) -> AsyncIterator[Proxy]:
    """As `proxied`; afterwards no pipe is taken and nothing is watched any more."""
    async with proxied(script, pipes=pipes, **limits) as proxy:
        yield proxy
        async with asyncio.timeout(30):
            while proxy.pipes.taken or len(loop_watcher()):  # noqa: ASYNC110  relays end by themselves
                await asyncio.sleep(0.01)
    assert (proxy.pipes.taken, len(loop_watcher())) == (0, 0)


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  figures of other tasks
            await asyncio.sleep(0.005)


async def silent_after(exchange: Exchange, data: bytes) -> None:
    await exchange.send(data)
    await exchange.gone()


async def read_to_the_end(reader: asyncio.StreamReader, received: bytearray) -> None:
    while piece := await reader.read(1 << 20):
        received += piece


async def endless(exchange: Exchange) -> None:
    await exchange.send(WITH_LENGTH % (1 << 40))
    while True:
        await exchange.send(DATA)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room of the consumer's socket is not known, so that pipes stay full when it takes no more."""
    monkeypatch.setattr(SpliceWriter, "room_bytes", lambda *_: 1 << 30)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_body_arrives_whole(framing: str) -> None:
    async with splicing(answering(ANSWERS[framing])) as proxy:
        status, headers, body = await in_thread(proxy, download)
        assert (status, body == DATA) == (200, True)
        assert ("content-length" in headers) == (framing == "length")
        assert await proxy.outcome() == Relayed(
            len(DATA), "complete", "copy" if framing == "small chunks" else "splice"
        )


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_consumer_of_http_1_0_gets_it_without_chunks(framing: str) -> None:
    async with splicing(answering(ANSWERS[framing])) as proxy, consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == DATA
        assert (await proxy.outcome()).outcome == "complete"


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_no_room_is_known_and_it_arrives_whole(framing: str, blind: None) -> None:
    async with splicing(answering(ANSWERS[framing])) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_both_connections_are_used_again(framing: str) -> None:
    def thrice(client: http.client.HTTPConnection) -> list[bytes]:
        client.connect()
        local = client.sock.getsockname()
        bodies = [download(client)[2] for _ in range(3)]
        assert client.sock is not None
        assert client.sock.getsockname() == local
        return bodies

    keep = framing != "close"
    async with splicing(answering(ANSWERS[framing], keep=keep)) as proxy:
        assert await in_thread(proxy, thrice) == [DATA] * 3
        assert proxy.origin.connections == (1 if keep else 3)
        assert proxy.logged == [200] * 3


@pytest.mark.gen_test(timeout=20)
async def test_a_consumer_of_http_1_0_may_keep_its_connection() -> None:
    async with splicing(answering(ANSWERS["length"], keep=True)) as proxy, consumer(proxy) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(DATA)) == DATA


@pytest.mark.gen_test(timeout=20)
async def test_a_request_that_already_waits_is_answered_next() -> None:
    async with splicing(answering(ANSWERS["length"], keep=True)) as proxy, consumer(proxy) as (reader, writer):
        writer.write(GET * 3)
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(DATA)) == DATA
        assert [relayed.path for relayed in proxy.relayed] == ["splice"] * 3


@pytest.mark.gen_test(timeout=20)
async def test_a_range_is_spliced() -> None:
    async def script(exchange: Exchange) -> bool:
        first, last = map(int, (exchange.field("Range") or "").removeprefix("bytes=").split("-"))
        head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n"
        await exchange.send(head % (first, last, len(DATA), last - first + 1) + DATA[first : last + 1])
        return True

    async with splicing(script) as proxy:
        status, headers, body = await in_thread(proxy, lambda client: download(client, Range="bytes=1001-1900000"))
        assert (status, headers["content-range"]) == (206, f"bytes 1001-1900000/{len(DATA)}")
        assert body == DATA[1001:1900001]
        assert (await proxy.outcome()).path == "splice"


@pytest.mark.gen_test(timeout=30)
async def test_a_chunk_for_each_byte() -> None:
    """One read decodes only so many; what is left of it comes before what the socket has."""
    data = DATA[:200_000]
    async with splicing(answering(CHUNKED + chunks(data, 1) + LAST)) as proxy:
        assert (await in_thread(proxy, download))[2] == data
        assert (await proxy.outcome()).outcome == "complete"


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("size", [100_000, 9_999])
async def test_chunk_framing_that_comes_byte_by_byte(size: int) -> None:
    data = DATA[:600_000]

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await exchange.send(b"%x\r\n" % len(piece), step=1)
            await exchange.send(piece)
            await exchange.send(b"\r\n", step=1)
        await exchange.send(LAST, step=1)

    async with splicing(script) as proxy:
        assert (await in_thread(proxy, download))[2] == data


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bytes_come_through_as_they_trickle_in(framing: str) -> None:
    """Towards a consumer in chunks, each chunk is complete before the wait for the next byte."""
    may_go_on = asyncio.Event()
    pieces = [DATA[:300_000], DATA[300_000:600_000]]

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % 600_000 if framing == "length" else CHUNKED + b"%x\r\n" % 600_000)
        await exchange.send(pieces[0])
        await may_go_on.wait()
        await exchange.send(pieces[1] + (b"" if framing == "length" else b"\r\n" + LAST))

    async def decoded(reader: asyncio.StreamReader, count: int) -> bytes:
        if framing == "length":
            return await reader.readexactly(count)
        out = b""
        while len(out) < count:
            size = int(await reader.readuntil(b"\r\n"), 16)
            out += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        return out

    async with splicing(script) as proxy, consumer(proxy) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        assert await decoded(reader, 300_000) == pieces[0]
        may_go_on.set()
        assert await decoded(reader, 300_000) == pieces[1]
        await proxy.outcome()


@pytest.mark.gen_test(timeout=20)
async def test_bytes_after_the_length_reach_nobody() -> None:
    async with splicing(answering(ANSWERS["length"] + b"EVIL", keep=True)) as proxy:
        assert await in_thread(proxy, lambda client: [download(client)[2] for _ in range(3)]) == [DATA] * 3
        assert proxy.origin.connections == 3


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("length", [1, SPLICE_FROM_BYTES - 1])
async def test_a_short_body_is_copied(length: int) -> None:
    async with splicing(answering(WITH_LENGTH % length + DATA[:length])) as proxy:
        assert (await in_thread(proxy, download))[2] == DATA[:length]
        assert (await proxy.outcome()).path == "copy"
        assert proxy.pipes.opened == 0


CUT = {
    "after the head": WITH_LENGTH % len(DATA),
    "in the body": ANSWERS["length"][:1_500_000],
    "one byte short": ANSWERS["length"][:-1],
    "in a chunk": ANSWERS["large chunks"][:1_200_000],
    "after a chunk": CHUNKED + b"%x\r\n" % 500_000 + DATA[:500_000],
    "in a chunk's head": CHUNKED + chunks(DATA[:500_000], 500_000) + b"7a1",
    "before the last chunk": ANSWERS["large chunks"][: -len(LAST)],
    "before the trailer's end": ANSWERS["large chunks"][:-2],
    "chunk longer than its size": CHUNKED + b"%x\r\n" % 400_000 + DATA[:500_000],
    "no chunk size": CHUNKED + chunks(DATA[:500_000], 500_000) + b"zz\r\n",
}


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("answer", list(CUT.values()), ids=list(CUT))
async def test_a_short_body_looks_short(answer: bytes, version: str) -> None:
    async with splicing(answering(answer)) as proxy, consumer(proxy) as (reader, writer):
        writer.write(f"GET /x HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            await read_to_the_end(reader, received)
        assert not received.endswith(LAST)
        assert (await proxy.outcome()).outcome == "upstream_truncated"


@pytest.mark.gen_test(timeout=20)
async def test_an_origin_that_resets_cuts_the_consumer() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(ANSWERS["length"][:1_500_000])
        exchange.reset()

    async with splicing(script) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        assert (await proxy.outcome()).outcome == "upstream_truncated"


@pytest.mark.gen_test(timeout=20)
async def test_an_origin_that_dies_while_the_consumer_is_stalled_is_noticed() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % (64 << 20))
        for _ in range(10):
            await exchange.send(DATA)
        exchange.reset()

    async with splicing(script) as proxy, consumer(proxy) as (reader, writer):
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        writer.write(GET)
        await until(lambda: proxy.progress and proxy.progress[0].awaits_consumer)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(64 << 20)
        assert (await proxy.outcome()).outcome == "upstream_truncated"


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", ["length", "chunked", "nothing yet"])
async def test_an_origin_that_falls_silent_cuts_the_consumer(framing: str) -> None:
    starts = {
        "length": ANSWERS["length"][:1_500_000],
        "chunked": ANSWERS["large chunks"][:1_500_000],
        "nothing yet": WITH_LENGTH % len(DATA),
    }
    async with splicing(lambda exchange: silent_after(exchange, starts[framing]), origin_idle_seconds=0.2) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        assert (await proxy.outcome()).outcome == "upstream_timed_out"


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("pipelined", [False, True], ids=["alone", "with a request waiting"])
@pytest.mark.parametrize("origin_is", ["silent", "endless", "in a chunk's head"])
async def test_a_consumer_that_leaves_closes_the_origin_within_a_second(
    how: str, pipelined: bool, origin_is: str
) -> None:
    gone = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        try:
            if origin_is == "endless":
                await endless(exchange)
            await silent_after(
                exchange, WITH_LENGTH % len(DATA) + DATA[:9] if origin_is == "silent" else CHUNKED + b"7"
            )
        finally:
            gone.set()

    async with splicing(script) as proxy, consumer(proxy) as (reader, writer):
        writer.write(GET * 2 if pipelined else GET)
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: proxy.progress)
        if how == "reset":
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
        writer.transport.abort()
        async with asyncio.timeout(30):
            await gone.wait()
        assert (await proxy.outcome()).outcome == "consumer_gone"
        assert proxy.opener is not None
        assert proxy.opener.idle_connections == 0


@pytest.mark.gen_test(timeout=20)
async def test_a_consumer_that_leaves_before_the_head_is_survived() -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await may_answer.wait()
        await exchange.send(ANSWERS["length"])

    async with splicing(script) as proxy, consumer(proxy) as (_, writer):
        writer.write(GET)
        await asked.wait()
        writer.transport.abort()
        await proxy.left.wait()
        may_answer.set()
        assert (await proxy.outcome()).outcome == "consumer_gone"


@pytest.mark.gen_test(timeout=20)
async def test_a_stalled_consumer_holds_no_pipe_and_is_cut() -> None:
    async with splicing(endless, idle_timeout_seconds=0.5) as proxy, consumer(proxy) as (_, writer):
        writer.transport.pause_reading()
        writer.write(GET)
        await until(lambda: proxy.progress and proxy.progress[0].awaits_consumer)
        assert proxy.pipes.taken == 0
        assert (await proxy.outcome()).outcome == "consumer_stalled"
        async with asyncio.timeout(30):
            await proxy.origin.exchanges[0].gone()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("end", ["cut by us", "reset"])
async def test_a_pipe_with_bytes_of_a_lost_consumer_is_closed(end: str, blind: None) -> None:
    seconds = 0.5 if end == "cut by us" else 10
    async with splicing(endless, idle_timeout_seconds=seconds) as proxy, consumer(proxy) as (_, writer):
        writer.transport.pause_reading()
        writer.write(GET)
        await until(lambda: proxy.pipes.taken == 1 and proxy.progress[0].awaits_consumer)
        if end == "reset":
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            writer.transport.abort()
        await proxy.outcome()
        assert (proxy.pipes.taken, proxy.pipes.opened) == (0, 0)


@pytest.mark.gen_test(timeout=30)
async def test_others_copy_while_a_stalled_consumer_holds_the_last_pipe(blind: None) -> None:
    served = 0

    async def script(exchange: Exchange) -> None:
        nonlocal served
        served += 1
        await (endless(exchange) if served == 1 else exchange.send(ANSWERS["length"]))

    pipes = PipePool(max_pipes=1)
    async with splicing(script, pipes=pipes) as proxy, consumer(proxy) as (_, writer):
        writer.transport.pause_reading()
        writer.write(GET)
        await until(lambda: pipes.taken == 1 and proxy.progress[0].awaits_consumer)
        assert (await in_thread(proxy, download))[2] == DATA
        assert proxy.relayed == [Relayed(len(DATA), "complete", "copy")]
        writer.transport.abort()
        await until(lambda: len(proxy.relayed) == 2)
        assert (await in_thread(proxy, download))[2] == DATA
        assert proxy.relayed[2].path == "splice"


def refuse_size(descriptor: int, size_bytes: int) -> int:
    raise PermissionError(errno.EPERM, "above the user's limit")


def refuse_splice(*_: object, **__: object) -> int:
    raise OSError(errno.EINVAL, "no splice here")


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("without", ["cap 0", "size refused", "splice refused"])
async def test_a_body_arrives_whole_without_splice(framing: str, without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = PipePool(max_pipes=0 if without == "cap 0" else 4)
    if without == "size refused":
        monkeypatch.setattr(pipes_module, "set_pipe_size", refuse_size)
    elif without == "splice refused":
        monkeypatch.setattr(splice_pump.os, "splice", refuse_splice)

    def twice(client: http.client.HTTPConnection) -> list[bytes]:
        return [download(client)[2] for _ in range(2)]

    async with splicing(answering(ANSWERS[framing]), pipes=pipes) as proxy:
        assert await in_thread(proxy, twice) == [DATA] * 2
        assert {relayed.path for relayed in proxy.relayed} == {"copy"}
        assert (await proxy.outcome()).outcome == "complete"


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("answer", list(CUT.values()), ids=list(CUT))
async def test_a_short_body_looks_short_without_a_pipe(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes_module, "set_pipe_size", refuse_size)
    async with splicing(answering(answer)) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        assert (await proxy.outcome()).outcome == "upstream_truncated"


@pytest.mark.gen_test(timeout=60)
async def test_more_stalled_streams_than_pipes_all_end_well(blind: None) -> None:
    """80 consumers stall, each would hold a full pipe: an unprivileged user may have 64 of them, we take 70."""
    streams, size = 80, 6 << 20
    body = hashlib.shake_256(b"many").digest(1 << 20) * (size >> 20)
    pipes = PipePool(max_pipes=70)
    async with splicing(answering(WITH_LENGTH % size + body, keep=True), pipes=pipes, idle_timeout_seconds=60) as proxy:
        opened = []
        for _ in range(streams):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=65536)
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
            writer.transport.pause_reading()
            writer.write(GET)
            opened.append((reader, writer))
        await until(lambda: sum(progress.awaits_consumer for progress in proxy.progress) == streams)
        assert 1 <= pipes.taken <= (70 if os.geteuid() == 0 else 64)
        for reader, writer in opened:
            writer.transport.resume_reading()
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(size) == body
            writer.transport.abort()
        await until(lambda: len(proxy.relayed) == streams)
        assert {relayed.outcome for relayed in proxy.relayed} == {"complete"}


@pytest.mark.gen_test(timeout=30)
async def test_a_giant_lets_others_run() -> None:
    size = 256 << 20
    turns = 0

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % size)
        for _ in range(size >> 20):
            await exchange.send(DATA[: 1 << 20])

    def drain(client: http.client.HTTPConnection) -> int:
        client.request("GET", "/x")
        reply, buffer, count = client.getresponse(), bytearray(1 << 20), 0
        while step := reply.readinto(buffer):
            count += step
        return count

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with splicing(script) as proxy:
        beside = asyncio.create_task(other())
        assert await in_thread(proxy, drain) == size
        beside.cancel()
        assert turns >= size // splice_pump.TURN_BYTES


@pytest.mark.gen_test(timeout=60)
async def test_no_descriptor_is_left_behind() -> None:
    def leave(client: http.client.HTTPConnection) -> None:
        client.request("GET", "/x")
        client.getresponse().read(100)

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    ways = [answering(answer) for answer in (ANSWERS["length"], ANSWERS["mixed chunks"], CUT["in the body"])]
    turn = 0

    async def script(exchange: Exchange) -> None:
        nonlocal turn
        turn += 1
        await ways[turn % len(ways)](exchange)

    async with splicing(script) as proxy:
        before = 0
        for round_number in range(4):
            for call in (download, leave, download, leave, download):
                try:
                    await in_thread(proxy, call)
                except (http.client.HTTPException, ConnectionError):
                    pass
            await until(lambda: len(proxy.relayed) == len(proxy.progress) and not proxy.origin.open)
            if round_number == 0:
                before = count() - proxy.pipes.opened * 2
        await until(lambda: count() - proxy.pipes.opened * 2 <= before)
