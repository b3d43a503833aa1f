"""Heads of requests, and what of a reply reaches Tornado's connection."""

import asyncio
from collections.abc import Callable

import pytest
from tornado.httputil import HTTPHeaders, HTTPInputError, RequestStartLine, ResponseStartLine

from provider.handlers.exchange import Exchange, Request, parse_head


class Connection:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.close_callback: Callable[[], None] | None = None
        self.status: tuple[int, str] = (0, "")
        self.headers: dict[str, str] = {}
        self.body = b""
        self.finished = False
        self.writes = 0

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self.close_callback = callback

    def write_headers(
        self, start_line: ResponseStartLine, headers: HTTPHeaders, chunk: bytes
    ) -> "asyncio.Future[None]":
        self.status, self.headers = (start_line.code, start_line.reason), dict(headers.get_all())
        return self.write(chunk)

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        self.body += chunk
        self.writes += 1
        return asyncio.Future()

    def finish(self) -> None:
        self.finished = True


def parsed(target: str = "/", *, version: str = "HTTP/1.1", method: str = "GET", **headers: str) -> Request:
    fields = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    return parse_head(RequestStartLine(method, target, version), fields, Connection())


def reply(method: str = "GET") -> tuple[Exchange, Connection]:
    request = parsed(method=method, Host="x")
    exchange = Exchange(request)
    connection = request.connection
    assert isinstance(connection, Connection)
    return exchange, connection


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("/", "/", ""), ("/a?b=1", "/a", "b=1"), ("/a?", "/a", ""), ("/a?b?c", "/a", "b?c"), ("//a%20", "//a%20", "")],
)
def test_path_and_query_are_as_sent(target: str, path: str, query: str) -> None:
    request = parsed(target, Host="x")
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize("host", ["example.org:8030", "[::1]:80", "127.0.0.1", "a%2Db", ""])
def test_good_hosts_are_taken(host: str) -> None:
    assert parsed(Host=host).field("host") == host


@pytest.mark.parametrize("host", ["a/b", "a,b", "a b", "a?", "a#", "a@b", "a%2", 'a"', "\xe9"])
def test_bad_hosts_are_refused(host: str) -> None:
    with pytest.raises(HTTPInputError):
        parsed(Host=host)


def test_only_http_1_0_may_lack_a_host() -> None:
    assert parsed(version="HTTP/1.0").field("Host") == ""
    with pytest.raises(HTTPInputError):
        parsed()


@pytest.mark.gen_test
async def test_a_reply_is_one_write_with_its_length() -> None:
    exchange, connection = reply()
    exchange.set_status(404)
    exchange.set_header("X-A", "1")
    exchange.write("é")
    exchange.write(b"b")
    exchange.finish()
    assert connection.status == (404, "Not Found")
    assert connection.headers["Content-Length"] == "3"
    assert connection.headers["X-A"] == "1"
    assert "Date" in connection.headers
    assert "Server" not in connection.headers
    assert (connection.body, connection.writes, connection.finished) == ("éb".encode(), 1, True)
    assert connection.close_callback is None


@pytest.mark.gen_test
async def test_head_tells_the_length_and_sends_no_body() -> None:
    exchange, connection = reply("HEAD")
    exchange.write(b"abc")
    exchange.finish()
    assert (connection.headers["Content-Length"], connection.body) == ("3", b"")


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.gen_test
async def test_bodiless_statuses_have_no_length(status: int) -> None:
    exchange, connection = reply()
    exchange.set_status(status)
    exchange.finish()
    assert "Content-Length" not in connection.headers


@pytest.mark.gen_test
async def test_what_is_flushed_is_not_sent_again() -> None:
    exchange, connection = reply()
    exchange.write(b"a")
    exchange.flush()
    exchange.write(b"b")
    exchange.finish()
    assert (connection.body, connection.writes) == (b"ab", 2)
    assert "Content-Length" not in connection.headers


@pytest.mark.gen_test
async def test_a_reply_is_finished_once() -> None:
    exchange, _ = reply()
    exchange.finish()
    with pytest.raises(RuntimeError):
        exchange.finish()


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\x00", "\u20ac"])
def test_unsafe_values_of_headers_are_refused(value: str) -> None:
    exchange, _ = reply()
    with pytest.raises(ValueError, match="X-A"):
        exchange.set_header("X-A", value)
