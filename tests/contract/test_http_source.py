"""Opening remote files over real sockets, origins honest and hostile."""

import asyncio
import gzip
import socket
import zlib

import pytest

from provider.errors import UnsafeAddress, UpstreamError, UpstreamTimedOut, UpstreamTruncated, UpstreamUnreachable
from provider.upstream.answer import Part, answer_of
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.source import HttpRequest
from provider.upstream.wish import Wish
from tests.support.http_sources import (
    CHUNKED,
    DATA,
    OK,
    TO_THE_END,
    WITH_LENGTH,
    chunks,
    fetch,
    get,
    opener,
    read_all,
    silent,
)
from tests.support.raw_origin import Exchange, Script, answering, raw_origin

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
    assert (source.status, source.framing, source.length_bytes) == (200, framing, length)


CUT = {
    "length": WITH_LENGTH + DATA[:-1],
    "length, nothing": WITH_LENGTH,
    "chunked in data": CHUNKED + chunks(DATA)[:500],
    "chunked before the last chunk": CHUNKED + chunks(DATA)[: -len(b"0\r\nX-Sum: 1\r\n\r\n")],
    "chunked in the trailer": CHUNKED + chunks(DATA)[:-2],
    "chunked, nothing": CHUNKED,
    "bad chunk": CHUNKED + b"zz\r\n",
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
    "folded length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok",
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


@pytest.mark.gen_test
async def test_an_originsilent_before_the_head_times_out() -> None:
    async with raw_origin(silent) as origin:
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
async def test_an_originsilent_in_the_body_times_out(head: bytes) -> None:
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
    async with raw_origin(silent) as origin:
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
        async with asyncio.timeout(30):
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
@pytest.mark.parametrize("reads_to_the_fault", [True, False])
async def test_a_connection_with_a_bare_lf_in_chunk_framing_is_never_used_again(*, reads_to_the_fault: bool) -> None:
    answer = CHUNKED + b"5\r\nhell\r\n0\r\n\r\n"
    async with raw_origin(answering(answer, keep=True)) as origin, opener() as opened:
        for _ in range(2):
            source = await opened.open(get(origin.url))
            if reads_to_the_fault:
                with pytest.raises(UpstreamTruncated):
                    await read_all(source)
            source.release()
        assert (opened.idle_connections, origin.connections) == (0, 2)


@pytest.mark.gen_test
async def test_a_source_that_was_given_up_cannot_cut_the_next_one_on_its_connection() -> None:
    async with raw_origin(answering(WITH_LENGTH, DATA, keep=True)) as origin, opener() as opened:
        first = await opened.open(get(origin.url))
        await read_all(first)
        first.release()
        second = await opened.open(get(origin.url))
        first.close()
        first.release()
        assert await read_all(second) == DATA
        assert (opened.idle_connections, origin.connections) == (0, 1)
        second.release()
        assert opened.idle_connections == 1


@pytest.mark.gen_test
async def test_a_malformed_line_costs_neither_the_file_nor_the_next_one() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=\x01\r\nBad Name: 1\r\nContent-Length : 2\r\n\r\nok"
    async with raw_origin(answering(answer, keep=True)) as origin, opener() as opened:
        for _ in range(2):
            async with opened.opened(get(origin.url)) as source:
                assert (source.length_bytes, await read_all(source)) == (2, b"ok")
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


def of_party(url: str, party: str) -> HttpRequest:
    return HttpRequest("GET", url, party=party)


@pytest.mark.gen_test(timeout=30)
async def test_bytes_after_an_answer_never_become_another_party_s_file() -> None:
    """They come 15 ms after a complete answer, when the connection looked clean and the next request may be out."""
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    async def script(exchange: Exchange) -> bool:
        await exchange.send(OK)
        if exchange.path == "/hostile":
            await asyncio.sleep(0.015)
            await exchange.send(evil)
        return True

    async def fetched(opened: HttpOrigin, path: str, party: str) -> bytes:
        async with opened.opened(of_party(origin.url + path, party)) as source:
            return await read_all(source)

    async with raw_origin(script) as origin, opener() as opened:
        for _ in range(40):
            assert await fetched(opened, "/hostile", "did:op:1") in (b"ok", b"evil")
            assert await fetched(opened, "/good", "did:op:2") == b"ok"
            assert await fetched(opened, "/other", "did:op:1") == b"ok"


@pytest.mark.gen_test
async def test_requests_of_one_party_for_one_url_share_a_connection_at_once() -> None:
    async with raw_origin(answering(OK, keep=True)) as origin, opener(quiet_seconds=60.0) as opened:
        for _ in range(5):
            async with opened.opened(of_party(origin.url + "/a", "did:op:1")) as source:
                assert await read_all(source) == b"ok"
        assert origin.connections == 1
        async with opened.opened(of_party(origin.url + "/b", "did:op:1")) as source:
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
        async with asyncio.timeout(30):
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


def not_now(status: int, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: 2\r\n\r\nno".encode()


def once(answer: bytes) -> Script:
    """The answer first, and the file afterwards."""

    async def script(exchange: Exchange) -> bool:
        await exchange.send(answers.pop(0))
        return True

    answers = [answer, OK]
    return script


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "answer",
    [
        not_now(503, "Retry-After: 0"),
        not_now(429, "Retry-After: 1"),
        not_now(429, "Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"),
        not_now(425),
        not_now(408, "Connection: keep-alive"),
    ],
)
async def test_one_more_try_where_little_patience_is_asked_for(answer: bytes) -> None:
    async with raw_origin(once(answer)) as origin:
        source, body = await fetch(origin.url)
        assert (source.status, body, len(origin.exchanges)) == (200, b"ok", 2)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "answer",
    [
        not_now(503),
        not_now(503, "Retry-After: 6"),
        not_now(503, "Retry-After: ²"),
        not_now(429, "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT"),
        not_now(500, "Retry-After: 0"),
        not_now(404, "Retry-After: 0"),
    ],
)
async def test_no_other_try_where_more_patience_or_none_is_asked_for(answer: bytes) -> None:
    async with raw_origin(answering(answer)) as origin:
        source, _ = await fetch(origin.url, first_byte_timeout_seconds=5.0)
        assert (source.status, len(origin.exchanges)) == (int(answer[9:12]), 1)


@pytest.mark.gen_test
async def test_a_second_not_now_is_the_answer() -> None:
    async with raw_origin(answering(not_now(503, "Retry-After: 0"))) as origin:
        source, _ = await fetch(origin.url)
        assert (source.status, len(origin.exchanges)) == (503, 2)


@pytest.mark.gen_test
async def test_who_must_not_ask_twice_does_not() -> None:
    async with raw_origin(answering(not_now(503, "Retry-After: 0"))) as origin, opener(patient=False) as opened:
        (await opened.open(get(origin.url))).close()
        assert len(origin.exchanges) == 1
    async with raw_origin(answering(not_now(503, "Retry-After: 0"))) as origin, opener() as opened:
        (await opened.open(HttpRequest("POST", origin.url, (), b"x"))).close()
        assert len(origin.exchanges) == 1


@pytest.mark.gen_test
async def test_the_second_try_ends_with_the_first_byte_limit() -> None:
    async def script(exchange: Exchange) -> None:
        if origin.connections == 1:
            await exchange.send(not_now(503, "Retry-After: 0"))
        else:
            await exchange.gone()

    async with raw_origin(script) as origin:
        with pytest.raises(UpstreamTimedOut):
            await fetch(origin.url, first_byte_timeout_seconds=0.3)


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved".encode()


async def _redirecting(exchange: Exchange) -> bool:
    hops = int(exchange.path.strip("/") or 0)
    await exchange.send(redirect(f"/{hops - 1}") if hops else OK)
    return True


@pytest.mark.gen_test
async def test_twenty_redirects_are_followed_on_one_connection() -> None:
    async with raw_origin(_redirecting) as origin:
        source, body = await fetch(origin.url + "/20")
        assert (body, source.final_url_path) == (b"ok", "/0")
        assert origin.connections == 1


@pytest.mark.gen_test
async def test_one_more_redirect_is_refused() -> None:
    async with raw_origin(_redirecting) as origin:
        with pytest.raises(UpstreamError):
            await fetch(origin.url + "/21")
        assert len(origin.exchanges) == 21


@pytest.mark.gen_test
async def test_a_redirect_to_itself_ends() -> None:
    async with raw_origin(answering(redirect("/"), keep=True)) as origin:
        with pytest.raises(UpstreamError):
            await fetch(origin.url)


@pytest.mark.gen_test
async def test_all_redirects_together_have_one_limit_of_time() -> None:
    async def slowly(exchange: Exchange) -> bool:
        await asyncio.sleep(0.06)
        return await _redirecting(exchange) or True

    async with raw_origin(slowly) as origin:
        with pytest.raises(UpstreamTimedOut):
            await fetch(origin.url + "/20", connect_timeout_seconds=0.2, first_byte_timeout_seconds=0.2)
        assert 1 < len(origin.exchanges) < 20


async def _wants_its_cookie(exchange: Exchange) -> bool:
    if exchange.field("Cookie") == "own=1; a=1":
        await exchange.send(OK)
    else:
        await exchange.send(redirect("/", 307).replace(b"\r\n", b"\r\nSet-Cookie: a=1; Path=/; HttpOnly\r\n", 1))
    return True


@pytest.mark.gen_test
async def test_a_cookie_goes_back_within_its_chain_and_is_forgotten_after_it() -> None:
    async with raw_origin(_wants_its_cookie) as origin, opener() as opened:
        for _ in range(2):
            async with opened.opened(get(origin.url, ("Cookie", "own=1"))) as source:
                assert await read_all(source) == b"ok"
        assert [exchange.field("Cookie") for exchange in origin.exchanges] == ["own=1", "own=1; a=1"] * 2


@pytest.mark.gen_test
async def test_a_cookie_goes_to_no_other_host() -> None:
    async with raw_origin(answering(OK)) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        answer = redirect(elsewhere).replace(b"\r\n", b"\r\nSet-Cookie: a=planted; Domain=localhost\r\n", 1)
        async with raw_origin(answering(answer)) as origin:
            await fetch(origin.url)
        assert other.exchanges[0].field("Cookie") is None


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
            await fetch(f"http://{host}:{port}/", allow_non_public_ip=False)
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
            await fetch(origin.url, allow_non_public_ip=False)
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


CODED = {"gzip": gzip.compress(DATA), "x-gzip": gzip.compress(DATA), "deflate": zlib.compress(DATA), "br": b"ok"}


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("coding", list(CODED))
async def test_a_coded_body_is_how_the_file_is_stored(coding: str, status: int) -> None:
    """A range is one of the coded bytes, so the whole has to be those too."""
    data = CODED[coding]
    head = f"HTTP/1.1 {status} X\r\nContent-Encoding: {coding}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    async with raw_origin(answering(head + data)) as origin:
        source, body = await fetch(origin.url)
        assert origin.exchanges[0].field("Accept-Encoding") == "identity"
    assert (body, source.length_bytes) == (data, len(data))


EXPECTED = {
    "chunked": (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 5),
    "close": (TO_THE_END + b"abcde", 5),
    "nothing": (CHUNKED + b"0\r\n\r\n", 0),
}


@pytest.mark.gen_test
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(("answer", "length"), list(EXPECTED.values()), ids=list(EXPECTED))
async def test_a_body_has_to_have_the_length_that_is_expected(answer: bytes, length: int, step: int | None) -> None:
    async def read(expected: int) -> bytes:
        async with (
            raw_origin(answering(answer, step=step)) as origin,
            opener() as asking,
            asking.opened(get(origin.url)) as source,
        ):
            source.expect(expected)
            assert source.length_bytes == expected
            return await read_all(source)

    assert len(await read(length)) == length
    with pytest.raises(UpstreamTruncated):
        await read(length + 1)
    if length and answer.startswith(CHUNKED):
        with pytest.raises(UpstreamTruncated):
            await read(length - 1)


@pytest.mark.gen_test
@pytest.mark.parametrize("sent", [b"5\r\nabcde\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"], ids=["whole", "short"])
async def test_a_part_in_chunks_has_the_length_of_its_content_range(sent: bytes) -> None:
    head = b"HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/100\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with (
        raw_origin(answering(head + sent)) as origin,
        opener() as asking,
        asking.opened(get(origin.url, ("Range", "bytes=5-9"))) as source,
    ):
        assert answer_of(Wish("bytes=5-9"), source) == Part(5, 9, 100)
        if b"abcde" in sent:
            assert await read_all(source) == b"abcde"
        else:
            with pytest.raises(UpstreamTruncated):
                await read_all(source)


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
            assert source.contiguous_bytes == 0
            buffer = memoryview(bytearray(100))
            body = bytes(buffer[: await source.read_into(buffer)])
            may_go_on.set()
            while run := source.contiguous_bytes:
                assert run == len(DATA) - len(body)
                await source.wait_ready()
                piece = sock.recv(4096)
                source.advance(len(piece))
                body += piece
            assert await source.read_into(memoryview(bytearray(10))) == 0
        assert body == DATA
        assert opened.idle_connections == 1
