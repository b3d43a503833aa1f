"""Relaying over real sockets: an origin, Tornado with our sink, and consumers that behave and misbehave."""

import asyncio
import hashlib
import http.client
import struct
import time
from collections.abc import Callable
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from provider.http1.handler import HttpHandler
from provider.http1.sink import TornadoSink
from provider.streaming.progress import Progress
from provider.streaming.relay import Relayed
from tests.support.raw_origin import Exchange, answering
from tests.support.relay_server import (
    CHUNKED,
    DATA,
    TO_THE_END,
    WITH_LENGTH,
    chunks,
    consumer,
    download,
    in_thread,
    proxied,
)

# Both kernels' buffers of one loopback connection, and ours, with room to spare.
MAX_IN_FLIGHT_BYTES = 24 << 20


ANSWERS = {
    "length": WITH_LENGTH % len(DATA) + DATA,
    "chunked": CHUNKED + chunks(DATA) + b"0\r\n\r\n",
    "close": TO_THE_END + DATA,
}


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", list(ANSWERS))
async def test_a_body_arrives_whole(framing: str) -> None:
    async with proxied(answering(ANSWERS[framing])) as proxy:
        status, headers, body = await in_thread(proxy, download)
        assert (status, body) == (200, DATA)
        assert headers.get("content-length") == (str(len(DATA)) if framing == "length" else None)
        assert headers["content-disposition"] == "attachment;filename=data.csv"
        path = "splice" if framing in ("length", "close") else "copy"
        assert await proxy.outcome() == Relayed(len(DATA), "complete", path)
        (progress,) = proxy.progress
        assert progress == Progress(len(DATA), awaits_consumer=False, path=progress.path)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_the_consumers_connection_survives_a_complete_download(framing: str) -> None:
    def twice(client: http.client.HTTPConnection) -> list[bytes]:
        client.connect()
        local = client.sock.getsockname()
        bodies = [download(client)[2] for _ in range(3)]
        assert client.sock is not None
        assert client.sock.getsockname() == local
        return bodies

    async with proxied(answering(ANSWERS[framing])) as proxy:
        assert await in_thread(proxy, twice) == [DATA] * 3
        assert proxy.logged == [200] * 3


@pytest.mark.gen_test(timeout=20)
async def test_small_files_share_one_connection_to_the_origin() -> None:
    async with proxied(answering(WITH_LENGTH % 2 + b"ok", keep=True)) as proxy:
        await in_thread(proxy, lambda client: [download(client) for _ in range(5)])
        assert (proxy.origin.connections, len(proxy.origin.exchanges)) == (1, 5)


@pytest.mark.gen_test(timeout=60)
async def test_a_large_body_arrives_unharmed() -> None:
    blocks = 60

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % (len(DATA) * blocks))
        for _ in range(blocks):
            await exchange.send(DATA)

    def digest(client: http.client.HTTPConnection) -> str:
        client.request("GET", "/x")
        reply, found = client.getresponse(), hashlib.sha256()
        while piece := reply.read(1 << 20):
            found.update(piece)
        return found.hexdigest()

    expected = hashlib.sha256()
    for _ in range(blocks):
        expected.update(DATA)
    async with proxied(script) as proxy:
        both = await asyncio.gather(in_thread(proxy, digest), in_thread(proxy, digest))
    assert both == [expected.hexdigest()] * 2


async def _ranged(exchange: Exchange) -> bool:
    wanted = exchange.field("Range")
    if wanted == "bytes=2-4":
        await exchange.send(
            b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nETag: "a"\r\n'
            b"Accept-Ranges: bytes\r\nContent-Length: 3\r\n\r\n234"
        )
    else:
        await exchange.send(WITH_LENGTH % 10 + b"0123456789")
    return True


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("wanted", "status", "content_range", "body"),
    [
        ("bytes=2-4", 206, "bytes 2-4/10", b"234"),
        ("bytes=0-0", 200, None, b"0123456789"),
    ],
)
async def test_a_range_and_its_answer_pass(wanted: str, status: int, content_range: str | None, body: bytes) -> None:
    async with proxied(_ranged) as proxy:
        got = await in_thread(proxy, lambda client: download(client, Range=wanted))
    assert (got[0], got[1].get("content-range"), got[2]) == (status, content_range, body)
    assert got[1]["content-length"] == str(len(body))


CUT = {
    "length": WITH_LENGTH % len(DATA) + DATA[:-1],
    "chunked": CHUNKED + chunks(DATA),
    "chunked, broken": CHUNKED + chunks(DATA) + b"zz\r\n",
    "nothing": WITH_LENGTH % len(DATA),
}


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", list(CUT.values()), ids=list(CUT))
async def test_a_truncated_body_looks_truncated(answer: bytes) -> None:
    async with proxied(answering(answer)) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        assert (await proxy.outcome()).outcome == "upstream_truncated"


async def _read_to_the_end(reader: asyncio.StreamReader, received: bytearray) -> None:
    while piece := await reader.read(65536):
        received += piece


@pytest.mark.gen_test
async def test_a_truncated_chunked_reply_has_no_last_chunk_and_ends_in_a_reset() -> None:
    async with proxied(answering(CHUNKED + chunks(b"x" * 1000))) as proxy, consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            await _read_to_the_end(reader, received)
        assert b"0\r\n\r\n" not in received.partition(b"\r\n\r\n")[2]


@pytest.mark.gen_test
async def test_a_truncated_reply_to_an_http_1_0_consumer_is_a_reset() -> None:
    async with proxied(answering(CHUNKED + chunks(b"x" * 1000))) as proxy, consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await _read_to_the_end(reader, bytearray())


@pytest.mark.gen_test
async def test_an_http_1_0_consumer_gets_a_body_of_unknown_length_up_to_the_close() -> None:
    async with proxied(answering(ANSWERS["chunked"])) as proxy, consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == DATA


@pytest.mark.gen_test
async def test_an_origin_that_falls_silent_cuts_the_consumer() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % len(DATA) + DATA[:1000])
        await exchange.gone()

    async with proxied(script, origin_idle_seconds=0.1) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        assert (await proxy.outcome()).outcome == "upstream_timed_out"


@pytest.mark.gen_test
async def test_bytes_come_through_as_they_trickle_in() -> None:
    may_go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % 6 + b"abc")
        await may_go_on.wait()
        await exchange.send(b"def")

    async with proxied(script) as proxy, consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(3) == b"abc"
        may_go_on.set()
        assert await reader.readexactly(3) == b"def"


async def _endless(exchange: Exchange) -> None:
    await exchange.send(WITH_LENGTH % (1 << 40))
    while True:
        await exchange.send(DATA)


async def _settled(look: Callable[[], int], *, rounds: int = 10) -> int:
    """The value once it has not moved for a while."""
    seen, same = look(), 0
    async with asyncio.timeout(30):
        while same < rounds:
            await asyncio.sleep(0.02)
            same = same + 1 if look() == seen else 0
            seen = look()
    return seen


@pytest.mark.gen_test(timeout=20)
async def test_a_consumer_that_does_not_read_stops_the_origin() -> None:
    async with proxied(_endless) as proxy, consumer(proxy) as (_, writer):
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        writer.transport.pause_reading()
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30):
            while not proxy.progress or proxy.progress[0].bytes_sent == 0:  # noqa: ASYNC110  another task's figure
                await asyncio.sleep(0.005)
        sent = await _settled(lambda: proxy.origin.exchanges[0].sent_bytes)
        assert sent < MAX_IN_FLIGHT_BYTES
        assert proxy.progress[0].awaits_consumer


@pytest.mark.gen_test(timeout=20)
async def test_a_consumer_that_takes_nothing_is_cut_and_the_origin_freed() -> None:
    async with proxied(_endless, idle_timeout_seconds=0.4) as proxy, consumer(proxy) as (_, writer):
        writer.transport.pause_reading()
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await proxy.outcome()).outcome == "consumer_stalled"
        async with asyncio.timeout(30):
            await proxy.origin.exchanges[0].gone()


@pytest.mark.gen_test(timeout=30)
async def test_a_slow_consumer_that_takes_a_little_is_not_cut() -> None:
    """It takes far longer for one buffer of ours than the limit allows for nothing at all."""
    async with proxied(_endless, idle_timeout_seconds=0.6) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=8192)
        try:
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 16384)
            writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            until = time.monotonic() + 3
            while time.monotonic() < until:
                assert await reader.read(8192)
                await asyncio.sleep(0.02)
            assert proxy.relayed == []
        finally:
            writer.transport.abort()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("origin_is", ["silent", "endless"])
async def test_a_consumer_that_leaves_closes_the_origin_within_a_second(how: str, origin_is: str) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % len(DATA) + b"abc")
        await exchange.gone()
        gone.set()

    async def endless(exchange: Exchange) -> None:
        try:
            await _endless(exchange)
        finally:
            gone.set()

    gone = asyncio.Event()
    async with proxied(silent if origin_is == "silent" else endless) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(3)
        if how == "reset":
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        async with asyncio.timeout(30):
            await gone.wait()
        assert (await proxy.outcome()).outcome == "consumer_gone"
        assert proxy.opener is not None
        assert proxy.opener.idle_connections == 0


@pytest.mark.gen_test(timeout=20)
async def test_an_abandoned_relay_is_logged_once_by_tornado() -> None:
    async with proxied(answering(CUT["length"])) as proxy:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            await in_thread(proxy, download)
        async with asyncio.timeout(30):
            while not proxy.logged:  # noqa: ASYNC110  Tornado logs after the handler returned
                await asyncio.sleep(0.005)
        assert proxy.logged == [200]


@pytest.mark.gen_test
async def test_acknowledged_bytes_are_counted_by_the_kernel() -> None:
    taken = []

    class Counting(HttpHandler):
        async def get(self) -> None:
            sink = TornadoSink(self)
            taken.append(sink.taken_bytes())
            await sink.start(200, [("Content-Length", str(len(DATA)))], memoryview(b""))
            await sink.write(memoryview(DATA))
            await sink.finish()
            async with asyncio.timeout(30):
                while sink.taken_bytes() - taken[0] < len(DATA):  # noqa: ASYNC110  the kernel's figure
                    await asyncio.sleep(0.005)
            taken.append(sink.taken_bytes())

    server = HTTPServer(Application([("/", Counting)], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname(), limit=1 << 22)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(DATA)) == DATA
    async with asyncio.timeout(30):
        while len(taken) < 2:  # noqa: ASYNC110  the handler's own list
            await asyncio.sleep(0.005)
    assert len(DATA) <= taken[1] - taken[0] < len(DATA) + 4096
    writer.transport.abort()
    server.stop()
    await server.close_all_connections()
