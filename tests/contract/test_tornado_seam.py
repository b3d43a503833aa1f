"""What `http1/sink.py` relies on holds in the installed Tornado. When this fails, a release has moved the ground:

bodies are then copied, which is correct and slow; adapt the seam before the bound in `setup.cfg` is raised.
"""

import asyncio

import pytest
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPOutputError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from provider.http1.sink import bypassable, count_body, is_chunked

BODY = b"sent below Tornado"


class Bypassing(RequestHandler):
    """Writes its body past Tornado: `/length`, `/chunked`, or `/short` with one byte too few."""

    seen: list[object]

    def initialize(self, seen: list[object]) -> None:
        self.seen = seen

    async def get(self) -> None:
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        body, kind = BODY, self.request.path
        if kind != "/chunked":
            self.set_header("Content-Length", str(len(BODY)))
        await self.flush()
        self.seen += [bypassable(connection), is_chunked(connection)]
        if kind == "/chunked":
            connection.stream.socket.send(b"%x\r\n%s\r\n" % (len(body), body))
        else:
            body = body[:-1] if kind == "/short" else body
            connection.stream.socket.send(body)
            count_body(connection, len(body))
        try:
            await self.finish()
        except HTTPOutputError as error:
            self.seen.append(error)

    def on_connection_close(self) -> None:
        self.seen.append("closed")


async def ask(*paths: str) -> tuple[list[object], bytes]:
    """Requests in one go on one connection, and all that came back."""
    seen: list[object] = []
    server = HTTPServer(Application([("/.*", Bypassing, {"seen": seen})], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    for left, path in reversed(list(enumerate(reversed(paths)))):
        ending = "" if left else "Connection: close\r\n"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{ending}\r\n".encode())
    received = await reader.read(-1)
    writer.close()
    server.stop()
    await server.close_all_connections()
    return seen, received


@pytest.mark.gen_test
async def test_bodies_sent_below_tornado_leave_the_connection_usable() -> None:
    seen, received = await ask("/length", "/chunked", "/length")
    assert seen == [True, False, True, True, True, False]
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(BODY) == 3
    assert received.count(b"\r\n0\r\n\r\n") == 1


@pytest.mark.gen_test
async def test_tornado_still_notices_a_body_that_is_short() -> None:
    seen, received = await ask("/short")
    assert received.endswith(BODY[:-1])
    assert isinstance(seen[-1], HTTPOutputError)


@pytest.mark.gen_test
async def test_a_connection_that_waits_to_send_is_not_bypassed() -> None:
    seen = []

    class Full(RequestHandler):
        async def get(self) -> None:
            connection = self.request.connection
            assert isinstance(connection, HTTP1Connection)
            self.write(bytes(64 << 20))
            pending = self.flush()
            seen.append((bypassable(connection), connection.stream.writing()))
            connection.stream.close()
            await pending

    server = HTTPServer(Application([("/", Full)], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    _, writer = await asyncio.open_connection(*sockets[0].getsockname(), limit=1024)
    writer.transport.pause_reading()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(30):
        while not seen:  # noqa: ASYNC110  the handler's own list
            await asyncio.sleep(0.005)
    writer.transport.abort()
    server.stop()
    await server.close_all_connections()
    assert seen == [(False, True)]
