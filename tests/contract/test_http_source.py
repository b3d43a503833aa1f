"""Opening remote files over real sockets, origins honest and hostile."""

import asyncio
import gzip
import hashlib
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.errors import UnsafeAddress, UpstreamError, UpstreamTimedOut, UpstreamTruncated, UpstreamUnreachable
from provider.upstream.http_source import HttpOrigin, HttpSource
from provider.upstream.inspect import inspect
from provider.upstream.source import HttpRequest
from tests.support.raw_origin import Exchange, answering, raw_origin, tls_contexts

DATA = bytes(range(256)) * 64
WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def chunks(data: bytes, size: int = 1000) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Sum: 1\r\n\r\n"


@asynccontextmanager
async def opener(**options) -> AsyncIterator[HttpOrigin]:
    origin = HttpOrigin(
        **({"allow_private": True, "first_byte_timeout_seconds": 5.0, "idle_timeout_seconds": 5.0} | options)
    )
    try:
        yield origin
    finally:
        origin.close()


def get(url: str, *headers: tuple[str, str]) -> HttpRequest:
    return HttpRequest("GET", url, headers)


async def read_all(source: HttpSource, room: int = 65536) -> bytes:
    out, buffer = b"", memoryview(bytearray(room))
    while count := await source.read_into(buffer):
        out += buffer[:count]
    return out


async def fetch(url: str, **options) -> tuple[HttpSource, bytes]:
    async with opener(**options) as origin, origin.opened(get(url)) as source:
        return source, await read_all(source)


FRAMED = {
    "length": (WITH_LENGTH + DATA, "length", len(DATA)),
    "chunked": (CHUNKED + chunks(DATA), "chunked", None),
    "close": (TO_THE_END + DATA, "close", None),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n" + DATA, "close", None),
    "after 103 and 100": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + WITH_LENGTH + DATA,
        "length",
        len(DATA),
    ),
}


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("step", [None, 1, 1013])
@pytest.mark.parametrize(("answer", "framing", "length"), list(FRAMED.values()), ids=list(FRAMED))
async def test_every_framing_is_read_to_its_end(answer: bytes, framing: str, length: int, step: int | None) -> None:
    async with raw_origin(answering(answer, step=step)) as origin:
        source, body = await fetch(origin.url)
    assert body == DATA
    assert (source.status, source.framing, source.length_bytes, source.unchanged) == (200, framing, length, True)


CUT = {
    "length": WITH_LENGTH + DATA[:-1],
    "length, nothing": WITH_LENGTH,
    "chunked in data": CHUNKED + chunks(DATA)[:500],
    "chunked before the last chunk": CHUNKED + chunks(DATA)[: -len(b"0\r\nX-Sum: 1\r\n\r\n")],
    "chunked in the trailer": CHUNKED + chunks(DATA)[:-2],
    "chunked, nothing": CHUNKED,
    "bad chunk": CHUNKED + b"zz\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(DATA)[:-8],
}


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", list(CUT.values()), ids=list(CUT))
async def test_a_body_that_ends_early_is_truncated(answer: bytes) -> None:
    async with raw_origin(answering(answer)) as origin:
        with pytest.raises(UpstreamTruncated):
            await fetch(origin.url)


@pytest.mark.gen_test
@pytest.mark.parametrize("head", [WITH_LENGTH, CHUNKED, TO_THE_END], ids=["length", "chunked", "close"])
async def test_a_reset_in_the_body_is_truncation(head: bytes) -> None:
    may_reset = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(head)
        await may_reset.wait()
        exchange.reset()

    async with raw_origin(script) as origin, opener() as opened, opened.opened(get(origin.url)) as source:
        may_reset.set()
        with pytest.raises(UpstreamTruncated):
            await read_all(source)


NO_BODY = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "empty gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", list(NO_BODY.values()), ids=list(NO_BODY))
async def test_answers_without_body_end_at_once_and_keep_the_connection(answer: bytes) -> None:
    async with raw_origin(answering(answer, keep=True)) as origin, opener() as opened:
        for _ in range(2):
            async with opened.opened(get(origin.url)) as source:
                assert source.length_bytes == 0
                assert await read_all(source) == b""
        assert origin.connections == 1


@pytest.mark.gen_test
async def test_head_has_no_body_whatever_its_length_says() -> None:
    async with raw_origin(answering(WITH_LENGTH)) as origin, opener() as opened:
        source = await opened.open(HttpRequest("HEAD", origin.url))
        assert source.headers.get("Content-Length") == str(len(DATA))
        assert await read_all(source) == b""
        source.release()
        assert opened.idle_connections == 1


BAD_HEADS = {
    "not HTTP": b"SSH-2.0-x\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    "too large": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70000 + b"\r\n\r\n",
    "endless": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000,
    "endless line": b"a" * 70000,
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
}


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", list(BAD_HEADS.values()), ids=list(BAD_HEADS))
async def test_a_head_not_to_be_trusted_is_refused(answer: bytes) -> None:
    async with raw_origin(answering(answer, keep=True)) as origin:
        with pytest.raises(UpstreamError) as caught:
            await fetch(origin.url)
    assert caught.type is UpstreamError


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n"])
async def test_a_connection_lost_before_the_head_is_unreachable(answer: bytes) -> None:
    async with raw_origin(answering(answer)) as origin:
        with pytest.raises(UpstreamUnreachable):
            await fetch(origin.url)


@pytest.mark.gen_test
async def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnreachable):
            await fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/")


async def _silent(exchange: Exchange) -> None:
    await exchange.gone()


@pytest.mark.gen_test
async def test_an_origin_silent_before_the_head_times_out() -> None:
    async with raw_origin(_silent) as origin:
        with pytest.raises(UpstreamTimedOut):
            await fetch(origin.url, first_byte_timeout_seconds=0.05)


@pytest.mark.gen_test
async def test_a_head_that_trickles_for_ever_times_out() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await exchange.send(b"a")
            await asyncio.sleep(0.005)

    async with raw_origin(script) as origin:
        with pytest.raises(UpstreamTimedOut):
            await fetch(origin.url, first_byte_timeout_seconds=0.1)


@pytest.mark.gen_test
@pytest.mark.parametrize("head", [WITH_LENGTH, CHUNKED, TO_THE_END], ids=["length", "chunked", "close"])
async def test_an_origin_silent_in_the_body_times_out(head: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(head)
        await exchange.gone()

    async with raw_origin(script) as origin:
        with pytest.raises(UpstreamTimedOut):
            await fetch(origin.url, idle_timeout_seconds=0.05)


@pytest.mark.gen_test
async def test_a_name_server_that_does_not_answer_times_out() -> None:
    async def resolver(host: str, port: int) -> list:
        await asyncio.Event().wait()
        return []

    with pytest.raises(UpstreamTimedOut):
        await fetch("http://a.example/", resolver=resolver, connect_timeout_seconds=0.05)


@pytest.mark.gen_test
async def test_a_tls_handshake_that_hangs_times_out() -> None:
    async with raw_origin(_silent) as origin:
        with pytest.raises(UpstreamTimedOut):
            await fetch(origin.url.replace("http:", "https:"), connect_timeout_seconds=0.1)


@pytest.mark.gen_test
async def test_closing_a_source_wakes_its_reader_and_the_origin_sees_it() -> None:
    seen = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH)
        await exchange.gone()
        seen.set()

    async with raw_origin(script) as origin, opener() as opened:
        source = await opened.open(get(origin.url))
        reading = asyncio.ensure_future(read_all(source))
        await asyncio.sleep(0)
        source.close()
        with pytest.raises(UpstreamTruncated):
            await reading
        async with asyncio.timeout(1):
            await seen.wait()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("surplus", "framed"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b""), (b"", b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")],
    ids=["length", "chunked"],
)
async def test_bytes_after_the_body_are_dropped_with_their_connection(surplus: bytes, framed: bytes) -> None:
    answer = CHUNKED + b"2\r\nok\r\n" + framed if framed else OK + surplus
    async with raw_origin(answering(answer, keep=True)) as origin, opener() as opened:
        for _ in range(2):
            async with opened.opened(get(origin.url)) as source:
                assert await read_all(source) == b"ok"
        assert opened.idle_connections == 0
        assert origin.connections == 2


@pytest.mark.gen_test
async def test_bytes_sent_into_an_idle_connection_are_not_taken_for_an_answer() -> None:
    async with raw_origin(answering(OK, keep=True)) as origin, opener() as opened:
        async with opened.opened(get(origin.url)) as source:
            assert await read_all(source) == b"ok"
        await origin.exchanges[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        for _ in range(3):
            await asyncio.sleep(0)  # uvloop writes at the end of a turn; on loopback written is received
        async with opened.opened(get(origin.url)) as source:
            assert await read_all(source) == b"ok"
        assert origin.connections == 2


@pytest.mark.gen_test
async def test_a_read_body_leaves_its_connection_for_the_next_request() -> None:
    async with raw_origin(answering(OK, keep=True)) as origin, opener() as opened:
        for _ in range(5):
            async with opened.opened(get(origin.url)) as source:
                assert await read_all(source) == b"ok"
        assert (origin.connections, len(origin.exchanges)) == (1, 5)
        async with opened.opened(HttpRequest("POST", origin.url, (), b"x")) as source:
            assert await read_all(source) == b"ok"
        assert origin.connections == 2


@pytest.mark.gen_test
async def test_an_unread_large_body_closes_its_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
    closed = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(head)
        await exchange.gone()
        closed.set()

    async with raw_origin(script) as origin, opener() as opened:
        async with opened.opened(get(origin.url)):
            pass
        async with asyncio.timeout(1):
            await closed.wait()


@pytest.mark.gen_test
async def test_a_dead_pooled_connection_is_replaced_before_any_byte() -> None:
    answered = 0

    async def script(exchange: Exchange) -> bool:
        nonlocal answered
        answered += 1
        if answered == 2:
            # The request reached a connection that was being closed.
            exchange.reset()
            return False
        await exchange.send(OK)
        return True

    async with raw_origin(script) as origin, opener() as opened:
        for _ in range(2):
            async with opened.opened(get(origin.url)) as source:
                assert await read_all(source) == b"ok"
        assert (origin.connections, answered) == (2, 3)


@pytest.mark.gen_test
@pytest.mark.parametrize(("attempts", "ok"), [(1, False), (2, True)])
async def test_a_lost_request_is_tried_again_as_often_as_told(attempts: int, ok: bool) -> None:
    async def script(exchange: Exchange) -> None:
        if origin.connections > 1:
            await exchange.send(OK)

    async with raw_origin(script) as origin:
        if ok:
            assert (await fetch(origin.url, attempts=attempts))[1] == b"ok"
        else:
            with pytest.raises(UpstreamUnreachable):
                await fetch(origin.url, attempts=attempts)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("status", "attempts", "found"),
    [(503, 1, 503), (503, 2, 200), (429, 2, 200), (500, 2, 200), (404, 2, 404), (501, 2, 501)],
)
async def test_an_answer_that_may_pass_is_asked_for_again_as_often_as_told(
    status: int, attempts: int, found: int
) -> None:
    async def script(exchange: Exchange) -> bool:
        first = len(origin.exchanges) == 1
        await exchange.send(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status if first else OK)
        return True

    async with raw_origin(script) as origin:
        assert (await fetch(origin.url, attempts=attempts))[0].status == found


@pytest.mark.gen_test
async def test_a_post_is_never_sent_twice() -> None:
    async with raw_origin(answering()) as origin, opener(attempts=3) as opened:
        with pytest.raises(UpstreamUnreachable):
            await opened.open(HttpRequest("POST", origin.url, (), b"x"))
        assert len(origin.exchanges) == 1


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved".encode()


async def _redirecting(exchange: Exchange) -> bool:
    hops = int(exchange.path.strip("/") or 0)
    await exchange.send(redirect(f"/{hops - 1}") if hops else OK)
    return True


@pytest.mark.gen_test
async def test_five_redirects_are_followed_on_one_connection() -> None:
    async with raw_origin(_redirecting) as origin:
        source, body = await fetch(origin.url + "/5")
        assert (body, source.final_url_path) == (b"ok", "/0")
        assert origin.connections == 1


@pytest.mark.gen_test
async def test_a_sixth_redirect_is_refused() -> None:
    async with raw_origin(_redirecting) as origin:
        with pytest.raises(UpstreamError):
            await fetch(origin.url + "/6")
        assert len(origin.exchanges) == 6


@pytest.mark.gen_test
async def test_a_redirect_to_itself_ends() -> None:
    async with raw_origin(answering(redirect("/"), keep=True)) as origin:
        with pytest.raises(UpstreamError):
            await fetch(origin.url)


@pytest.mark.gen_test
async def test_credentials_do_not_follow_to_another_host() -> None:
    async with raw_origin(answering(OK)) as other:
        async with raw_origin(answering(redirect(other.url + "/x"))) as origin, opener() as opened:
            url = origin.url.replace("http://", "http://u:p@")
            request = get(url, ("Cookie", "secret"), ("X-Api-Key", "secret"), ("Range", "bytes=0-1"))
            async with opened.opened(request) as source:
                assert await read_all(source) == b"ok"
        assert origin.exchanges[0].field("X-Api-Key") == "secret"
        assert origin.exchanges[0].field("Authorization") is not None
        assert b"secret" not in other.exchanges[0].request
        assert other.exchanges[0].field("Authorization") is None
        assert other.exchanges[0].field("Range") == "bytes=0-1"


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [307, 308])
async def test_a_post_is_repeated_where_the_status_says_so(status: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(redirect("/there", status) if exchange.path == "/" else OK)

    async with raw_origin(script) as origin, opener() as opened:
        async with opened.opened(HttpRequest("POST", origin.url, (), b"hello")) as source:
            assert await read_all(source) == b"ok"
        assert origin.exchanges[1].request.startswith(b"POST /there")
        assert origin.exchanges[1].request.endswith(b"\r\n\r\nhello")


async def _local_is_public(host: str, port: int) -> list:
    """As if the test's own origin were on the internet: the guard is off for nobody."""
    addresses = {"public.example": "8.8.8.8", "mixed.example": "10.0.0.1"}
    return [(socket.AF_INET, (addresses.get(host, host), port))]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "１２７.０.０.１"]
)
async def test_a_private_address_gets_no_packet(host: str) -> None:
    async with raw_origin(answering(OK)) as origin:
        port = origin.url.rpartition(":")[2]
        with pytest.raises(UnsafeAddress) as caught:
            await fetch(f"http://{host}:{port}/", allow_private=False)
        assert origin.connections == 0
        assert "127" not in f"{caught.value} {caught.value.detail}"


@pytest.mark.gen_test
async def test_a_redirect_to_a_private_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop is let through by name, so that the second one is what the guard meets."""
    from provider.upstream import addresses  # noqa: PLC0415

    real = addresses.check_address
    monkeypatch.setattr(addresses, "check_address", lambda text: None if text == "127.0.0.1" else real(text))
    async with raw_origin(answering(redirect("http://[::1]/"))) as origin:
        with pytest.raises(UnsafeAddress):
            await fetch(origin.url, allow_private=False)
        assert origin.connections == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://a.example/"])
async def test_other_schemes_are_refused_even_when_private_addresses_are_allowed(location: str) -> None:
    async with raw_origin(answering(redirect(location))) as origin:
        with pytest.raises(UnsafeAddress):
            await fetch(origin.url)
    with pytest.raises(UnsafeAddress):
        await fetch(location)


@pytest.mark.gen_test
async def test_the_next_address_is_tried_when_one_fails() -> None:
    async with raw_origin(answering(OK)) as origin:
        port = int(origin.url.rpartition(":")[2])

        async def resolver(host: str, _: int) -> list:
            return [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]

        assert (await fetch(f"http://two.example:{port}/", resolver=resolver))[1] == b"ok"
        assert origin.exchanges[0].field("Host") == f"two.example:{port}"


CODED = {
    "gzip": ("gzip", gzip.compress(DATA)),
    "deflate": ("deflate", zlib.compress(DATA)),
}


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(("coding", "data"), list(CODED.values()), ids=list(CODED))
async def test_a_coding_nobody_asked_for_is_undone(coding: str, data: bytes, framing: str, step: int | None) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n".encode()
    answers = {
        "length": head + b"Content-Length: %d\r\n\r\n" % len(data) + data,
        "chunked": head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(data),
        "close": head + b"\r\n" + data,
    }
    async with raw_origin(answering(answers[framing], step=step)) as origin:
        source, body = await fetch(origin.url)
        assert origin.exchanges[0].field("Accept-Encoding") == "identity"
    assert body == DATA
    assert (source.unchanged, source.length_bytes) == (False, None)


@pytest.mark.gen_test
async def test_an_unknown_coding_and_a_coded_part_pass_as_they_are() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin:
        source, body = await fetch(origin.url)
    assert (body, source.unchanged, source.length_bytes) == (b"ok", True, 2)
    answer = b"HTTP/1.1 206 Part\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin:
        source, body = await fetch(origin.url)
    assert (body, source.unchanged, source.length_bytes) == (b"ok", True, 2)


@pytest.mark.gen_test
async def test_the_raw_socket_is_handed_out_once_the_bytes_already_read_are_taken() -> None:
    may_go_on = asyncio.Event()

    async def script(exchange: Exchange) -> bool:
        await exchange.send(WITH_LENGTH + DATA[:10])
        await may_go_on.wait()
        await exchange.send(DATA[10:])
        return True

    async with raw_origin(script) as origin, opener() as opened:
        async with opened.opened(get(origin.url)) as source:
            sock = source.raw_socket()
            assert sock is not None
            assert source.run_bytes == 0
            buffer = memoryview(bytearray(100))
            body = bytes(buffer[: await source.read_into(buffer)])
            may_go_on.set()
            while run := source.run_bytes:
                assert run == len(DATA) - len(body)
                await source.wait_ready()
                piece = sock.recv(4096)
                source.advance(len(piece))
                body += piece
            assert await source.read_into(memoryview(bytearray(10))) == 0
        assert body == DATA
        assert opened.idle_connections == 1


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_an_https_origin_is_verified_and_read(tmp_path: Path, framing: str) -> None:
    server, client = tls_contexts(tmp_path, "localhost")
    big = DATA * 64
    answers = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big) + big,
        "chunked": CHUNKED + chunks(big, 50000),
        "close": TO_THE_END + big,
    }
    keep = framing != "close"
    script = answering(answers[framing], keep=keep)
    async with raw_origin(script, context=server) as origin, opener(tls_context=client) as opened:
        for _ in range(3):
            async with opened.opened(get(origin.url)) as source:
                assert await read_all(source, 300_000) == big
                assert source.raw_socket() is None
        assert origin.connections == (1 if keep else 3)


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [500, len(DATA)])
@pytest.mark.parametrize("tls", [False, True])
async def test_bytes_in_memory_are_read_without_waiting_for_the_socket(tmp_path: Path, tls: bool, size: int) -> None:
    """Reads of one byte meet framing that gives no payload, while the rest is here: with the head, or in TLS."""
    server, client = tls_contexts(tmp_path, "localhost")
    script = answering(CHUNKED + chunks(DATA[:size], 10), keep=True)
    async with raw_origin(script, context=server if tls else None) as origin:
        async with opener(tls_context=client) as opened, opened.opened(get(origin.url)) as source:
            assert await read_all(source, 1) == DATA[:size]
        async with opener(tls_context=client) as opened, opened.opened(get(origin.url)) as source:
            assert await read_all(source) == DATA[:size]


@pytest.mark.gen_test
@pytest.mark.parametrize("names", [("other.example",), ("127.0.0.1",)])
async def test_a_certificate_for_another_name_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    server, client = tls_contexts(tmp_path, *names)
    async with raw_origin(answering(OK), context=server) as origin:
        with pytest.raises(UpstreamUnreachable):
            await fetch(origin.url, tls_context=client)
        assert origin.exchanges == []


@pytest.mark.gen_test
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_new_connection_to_a_known_origin_resumes_its_session(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server, client = tls_contexts(tmp_path, "localhost", "127.0.0.1")
    server.maximum_version = version
    resumed = []

    async def script(exchange: Exchange) -> None:
        resumed.append(exchange.writer.get_extra_info("ssl_object").session_reused)
        await exchange.send(OK)

    async with raw_origin(script, context=server) as origin, opener(tls_context=client) as opened:
        for url in (origin.url, origin.url, origin.url.replace("localhost", "127.0.0.1"), origin.url):
            async with opened.opened(get(url)) as source:
                assert await read_all(source) == b"ok"
    # Another name is another origin, even at the same address: its certificate was not looked at yet.
    assert resumed == [False, True, False, True]


@pytest.mark.gen_test
async def test_an_origin_that_forgot_its_sessions_is_read_after_a_full_handshake(tmp_path: Path) -> None:
    server, client = tls_contexts(tmp_path, "localhost")
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.load_cert_chain(tmp_path / "origin.pem")
    resumed = []

    async def script(exchange: Exchange) -> None:
        resumed.append(exchange.writer.get_extra_info("ssl_object").session_reused)
        await exchange.send(OK)

    async with opener(tls_context=client) as opened:
        port = 0
        for context in (server, other):
            async with raw_origin(script, context=context, port=port) as origin:
                port = urlsplit(origin.url).port or 0
                async with opened.opened(get(origin.url)) as source:
                    assert await read_all(source) == b"ok"
    assert resumed == [False, False]


@pytest.mark.gen_test
async def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    server, _ = tls_contexts(tmp_path, "localhost")
    async with raw_origin(answering(OK), context=server) as origin:
        with pytest.raises(UpstreamUnreachable):
            await fetch(origin.url, tls_context=ssl.create_default_context())


@pytest.mark.gen_test
async def test_a_certificate_for_an_address_is_accepted(tmp_path: Path) -> None:
    server, client = tls_contexts(tmp_path, "127.0.0.1")
    async with raw_origin(answering(OK), context=server) as origin:
        assert (await fetch(origin.url.replace("localhost", "127.0.0.1"), tls_context=client))[1] == b"ok"


@pytest.mark.gen_test
async def test_a_tls_connection_cut_without_its_own_close_is_truncation(tmp_path: Path) -> None:
    server, client = tls_contexts(tmp_path, "localhost")

    async def script(exchange: Exchange) -> None:
        await exchange.send(TO_THE_END + b"part")
        exchange.reset()

    async with raw_origin(script, context=server) as origin:
        with pytest.raises(UpstreamTruncated):
            await fetch(origin.url, tls_context=client)


@pytest.mark.gen_test
async def test_a_port_that_speaks_no_tls_is_unreachable() -> None:
    async with raw_origin(_silent, greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as origin:
        with pytest.raises(UpstreamUnreachable):
            await fetch(origin.url.replace("http:", "https:"))


@pytest.mark.gen_test
async def test_inspecting_tells_length_type_and_name_without_the_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv; charset=utf-8\r\nContent-Length: 123456789\r\n\r\n"
    async with raw_origin(answering(answer, keep=True)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url + "/a/my%20data.csv?token=secret")))
        assert (info.valid, info.content_length, info.content_type) == (True, "123456789", "text/csv")
        assert (info.filename, info.checksum) == ("my data.csv", None)
        info = await inspect(opened.open(get(origin.url + "/a/data.csv")), name_from_url=False)
        assert info.filename == ""


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("head", "max_bytes", "expected"),
    [
        (WITH_LENGTH, len(DATA), True),
        (WITH_LENGTH, len(DATA) - 1, False),
        (TO_THE_END, len(DATA), True),
        (TO_THE_END, len(DATA) - 1, False),
        (WITH_LENGTH, 0, False),
    ],
)
async def test_a_checksum_is_made_up_to_the_limit(head: bytes, max_bytes: int, expected: bool) -> None:
    async with raw_origin(answering(head + DATA)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url)), want_checksum=True, max_checksum_bytes=max_bytes)
    assert info.valid == (head is WITH_LENGTH)
    assert info.checksum == (hashlib.sha256(DATA).hexdigest() if expected else None)


@pytest.mark.gen_test
async def test_the_length_of_the_whole_is_told_for_a_part() -> None:
    answer = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/999\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url, ("Range", "bytes=0-1"))), accepts_part=True)
        assert (info.valid, info.content_length) == (True, "999")
        assert not (await inspect(opened.open(get(origin.url)))).valid


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Oops", b"206 Part", b"301 Moved"])
async def test_only_200_is_a_good_file(status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url)))
    assert not info.valid
    assert "127.0.0.1" not in repr(info)


@pytest.mark.gen_test
async def test_an_origin_that_fails_is_an_invalid_file() -> None:
    async with opener(allow_private=False) as opened:
        info = await inspect(opened.open(get("http://127.0.0.1:9/")))
    assert (info.valid, type(info.failure)) == (False, UnsafeAddress)
