"""What `provider/http1/` leans on holds in the installed Tornado, and its short ways refuse what Tornado refuses."""

import asyncio
import socket
from typing import cast

import pytest
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPInputError, RequestStartLine
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from provider.http1.heads import Request, parse_plain_head
from provider.http1.listener import PublicServer

PLAIN = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nx-two: 1\r\nX-Two:  2 \r\n\r\n"


class Echo(RequestHandler):
    """Says what came."""

    def get(self) -> None:
        self.set_header("Content-Length", "2")
        self.write(b"ok")

    def post(self) -> None:
        self.write(self.request.body)


class NoDelay(RequestHandler):
    """Tells whether small segments leave at once."""

    def get(self) -> None:
        stream = cast(HTTP1Connection, self.request.connection).stream
        self.finish(str(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))


async def talk(*pieces: bytes) -> bytes:
    """Send pieces one by one, then read until the server closes, which it does when it waited for a head too long."""
    server = PublicServer(
        Application([("/.*", Echo)], log_function=lambda _: None),
        idle_connection_timeout=0.2,
        max_header_size=2000,
        max_buffer_size=8000,
    )
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.01)
    answer = await reader.read()
    writer.close()
    server.stop()
    return answer


def test_a_plain_head_is_read_as_tornado_reads_it() -> None:
    parsed = parse_plain_head(PLAIN)
    assert parsed is not None
    line, fields = parsed
    assert line == RequestStartLine("GET", "/a?b=c", "HTTP/1.1")
    assert list(fields.get_all()) == list(HTTPHeaders.parse("Host: x\r\nx-two: 1\r\nX-Two:  2 \r\n").get_all())
    assert fields.get("X-TWO") == fields["x-two"] == "1,2"
    assert fields.get("Absent") is None
    assert "host" in fields
    assert list(fields.copy().get_all()) == list(fields.get_all())


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n" + PLAIN,
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\rY: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \x7f\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\tx\r\n\r\n",
    ],
)
def test_any_other_head_is_left_to_tornado(head: bytes) -> None:
    assert parse_plain_head(head) is None


@pytest.mark.parametrize("host", ["a,b", "a b", "<"])
def test_a_bad_host_is_refused(host: str) -> None:
    with pytest.raises(HTTPInputError):
        Request(RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders({"Host": host}), None, None)


def test_a_missing_host_is_refused() -> None:
    with pytest.raises(HTTPInputError):
        Request(RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders(), None, None)


def test_the_host_of_an_absolute_target_counts() -> None:
    line, fields = RequestStartLine("GET", "http://target.example:81/a?b", "HTTP/1.1"), HTTPHeaders({"Host": "x"})
    request = Request(line, fields, None, None)
    assert (request.path, request.query, request.uri) == ("/a", "b", "/a?b")
    assert (request.host, request.host_name, request.headers["Host"]) == (
        "target.example:81",
        "target.example",
        "target.example:81",
    )


@pytest.mark.gen_test(timeout=20)
async def test_pipelined_requests_are_answered_in_order() -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nb\n\nody"
    answer = await talk(PLAIN + post + PLAIN, PLAIN)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"ok", b"b\n\nody", b"ok", b"ok"]


@pytest.mark.gen_test(timeout=20)
async def test_a_head_in_pieces_is_read() -> None:
    assert (await talk(PLAIN[:9], PLAIN[9:-2], PLAIN[-2:])).endswith(b"\r\n\r\nok")


@pytest.mark.gen_test(timeout=20)
async def test_a_slow_head_is_cut_also_after_a_request() -> None:
    answer = await talk(PLAIN, PLAIN[:9])
    assert answer.count(b"200 OK") == 1


@pytest.mark.gen_test(timeout=20)
async def test_a_long_head_is_cut() -> None:
    assert b"200" not in await talk(b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + 2000 * b"x" + b"\r\n\r\n")


@pytest.mark.gen_test(timeout=20)
async def test_a_body_framed_twice_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert (await talk(head + PLAIN)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.gen_test(timeout=20)
async def test_unequal_lengths_are_refused() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
    assert (await talk(head + PLAIN)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.gen_test(timeout=20)
async def test_a_request_of_http_1_0_with_a_transfer_coding_ends_its_connection() -> None:
    """RFC 9112 section 6.1: such framing is faulty, so what follows is no request."""
    head = b"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await talk(head + b"2\r\nab\r\n0\r\n\r\n" + PLAIN)
    assert answer.count(b"HTTP/1.") == 1
    assert b"keep-alive" not in answer.lower()


@pytest.mark.gen_test
async def test_small_segments_leave_at_once_on_a_kept_connection() -> None:
    """Tornado would switch this off after each reply."""
    server = PublicServer(Application([("/", NoDelay)], log_function=lambda _: None))
    (listener,) = bind_sockets(0, "127.0.0.1")
    server.add_sockets([listener])
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(1) != b"0"
    writer.close()
    server.stop()
