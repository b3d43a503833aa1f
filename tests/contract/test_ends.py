"""How the connections of consumers end: inside TLS, or on TCP, a client sees whether a reply is whole."""

import asyncio
import http.client
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from tornado.testing import bind_unused_port
from tornado.web import Application

from provider.crypto.certificate import ServerTls
from provider.http1 import streams
from provider.http1.handler import HttpHandler
from provider.http1.listener import PublicServer
from provider.http1.sink import TornadoSink
from tests.support.certificates import Authority

BODY = b"x" * 300_000
LARGE = b"y" * (24 << 20)
CLOSE = b"GET /%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
KEEP = b"GET /%s HTTP/1.1\r\nHost: test\r\n\r\n"
OLD = b"GET /%s HTTP/1.0\r\n\r\n"
BAD_REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n"


class Ending(HttpHandler):
    """`/<how>/<framing>`: sends 300,000 bytes, or many, and ends as told."""

    async def get(self, how: str, framing: str) -> None:
        sink = TornadoSink(self)
        body = LARGE if framing == "large" else BODY
        announced = len(body) * (1 if how == "whole" else 2)
        fields = [] if framing == "chunked" else [("Content-Length", str(announced))]
        await sink.start(200, fields, memoryview(b""))
        await sink.write(memoryview(body))
        if how == "whole":
            await sink.finish()
        elif how == "aborted":
            sink.abort()
        elif how == "detached":
            self.detach().close()
        elif how == "finished short":
            await self.finish()


class Hello(HttpHandler):
    served: ClassVar[list[str]] = []

    def get(self) -> None:
        self.served.append(str(self.request.uri))
        self.write(b"hello")

    post = get


@asynccontextmanager
async def serving(tls: ServerTls | None) -> AsyncIterator[int]:
    app = Application([("/", Hello), ("/([^/]+)/([^/]+)", Ending)], log_function=lambda _: None)
    server = PublicServer(app, **({} if tls is None else {"ssl_options": tls.context}), idle_connection_timeout=1)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    try:
        yield port
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> ServerTls:
    return ServerTls(authority.issue("listener"))


def ask(
    port: int, request: bytes, context: ssl.SSLContext | None, *, receive_bytes: int = 0
) -> tuple[bytes, OSError | None]:
    """Send it and read to the end: everything that came, and the error that ended it; None for an end in order."""
    with socket.socket() as plain:
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(20)
        plain.connect(("127.0.0.1", port))
        got = bytearray()
        try:
            # A bare FIN is an error to this client, as TLS wants it.
            sock = (
                plain
                if context is None
                else context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
            )
            with sock:
                sock.sendall(request)
                while piece := sock.recv(65536):
                    got += piece
        except OSError as error:
            return bytes(got), error
        return bytes(got), None


async def asked(port: int, request: bytes, context: ssl.SSLContext | None) -> tuple[bytes, OSError | None]:
    return await asyncio.to_thread(ask, port, request, context)


def client_context(authority: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    return context


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
WHOLE = {
    "length": CLOSE % b"whole/length",
    "chunked": CLOSE % b"whole/chunked",
    "HTTP/1.0": OLD % b"whole/length",
    "a refusal": BAD_REQUEST,
    "kept until it was idle for too long": KEEP % b"whole/length",
}
CUT = [f"{how}/{framing}" for how in ("aborted", "detached") for framing in ("length", "chunked")]
CUT.append("finished short/length")


@VERSIONS
@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
@pytest.mark.gen_test(timeout=30)
async def test_a_whole_reply_over_tls_ends_with_close_notify(
    authority: Authority, tls: ServerTls, version: ssl.TLSVersion, request_bytes: bytes
) -> None:
    async with serving(tls) as port:
        got, error = await asked(port, request_bytes, client_context(authority, version))
    assert error is None
    assert got.startswith(b"HTTP/1.1 400" if request_bytes == BAD_REQUEST else b"HTTP/1.1 200")


@VERSIONS
@pytest.mark.parametrize("path", CUT)
@pytest.mark.parametrize("template", [CLOSE, KEEP, OLD], ids=["close", "keep", "HTTP/1.0"])
@pytest.mark.gen_test(timeout=30)
async def test_a_cut_reply_over_tls_is_an_error_inside_tls(
    authority: Authority, tls: ServerTls, version: ssl.TLSVersion, path: str, template: bytes
) -> None:
    async with serving(tls) as port:
        got, error = await asked(port, template % path.replace(" ", "%20").encode(), client_context(authority, version))
    assert got.startswith(b"HTTP/1.1 200")
    assert isinstance(error, ssl.SSLError)
    # Neither the end of the connection nor of TLS: readers that forgive a missing close_notify see it too.
    assert not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


@pytest.mark.parametrize("path", CUT)
@pytest.mark.parametrize("template", [CLOSE, KEEP, OLD], ids=["close", "keep", "HTTP/1.0"])
@pytest.mark.gen_test(timeout=30)
async def test_a_cut_reply_over_tcp_is_a_reset(path: str, template: bytes) -> None:
    async with serving(None) as port:
        got, error = await asked(port, template % path.replace(" ", "%20").encode(), None)
    assert got.startswith(b"HTTP/1.1 200")
    assert isinstance(error, ConnectionResetError)


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
@pytest.mark.gen_test(timeout=30)
async def test_a_whole_reply_over_tcp_ends_with_fin(request_bytes: bytes) -> None:
    async with serving(None) as port:
        _, error = await asked(port, request_bytes, None)
    assert error is None


@pytest.mark.gen_test(timeout=30)
async def test_close_notify_waits_for_a_slow_client(authority: Authority, tls: ServerTls) -> None:
    """The socket is full when the reply has been written: what is left of it and the end of TLS come all the same."""

    async with serving(tls) as port:
        request = CLOSE % b"whole/large"
        got, error = await asyncio.to_thread(ask, port, request, client_context(authority), receive_bytes=8192)
    assert error is None
    assert got.endswith(LARGE)


@pytest.mark.gen_test(timeout=30)
async def test_a_full_socket_takes_close_notify_once_it_has_room(authority: Authority, tls: ServerTls) -> None:
    ours, theirs = socket.socketpair()

    def read_all() -> bytes:
        got = bytearray()
        while piece := client.recv(65536):
            got += piece
        return bytes(got)

    server = tls.context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
    shaking = asyncio.to_thread(
        client_context(authority).wrap_socket, theirs, server_hostname="127.0.0.1", suppress_ragged_eofs=False
    )
    client, _ = await asyncio.gather(shaking, asyncio.to_thread(server.do_handshake))
    server.setblocking(False)
    sent = sum(server.send(b"z" * 1000) for _ in range(20))
    # Less than what is in it.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    assert not streams._close_notified(server)
    last_word = streams._LastWord(server)
    assert await asyncio.to_thread(read_all) == b"z" * sent
    await last_word.done
    assert server.fileno() == -1
    client.close()


@pytest.mark.gen_test(timeout=30)
async def test_the_last_word_of_a_client_that_reads_nothing_has_its_limit(
    authority: Authority, tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LAST_WORD_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    server = tls.context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
    shaking = asyncio.to_thread(client_context(authority).wrap_socket, theirs, server_hostname="127.0.0.1")
    client, _ = await asyncio.gather(shaking, asyncio.to_thread(server.do_handshake))
    server.setblocking(False)
    server.send(b"z" * 10_000)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    last_word = streams._LastWord(server)
    await last_word.done
    assert server.fileno() == -1
    client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("path", ["aborted/length", "aborted/chunked", "whole/length", "whole/chunked"])
@pytest.mark.gen_test(timeout=30)
async def test_curl_tells_a_cut_file_from_a_whole_one(authority: Authority, tls: ServerTls, path: str) -> None:
    async with serving(tls) as port:
        command = ["curl", "-sS", "--cacert", str(authority.ca_path), f"https://127.0.0.1:{port}/{path}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert (done.returncode == 0) == path.startswith("whole")
    # Under chunks there is nothing but the end itself to tell.
    assert len(done.stdout) <= len(BODY)


@pytest.mark.gen_test(timeout=30)
async def test_a_kept_connection_goes_on_after_a_whole_reply(authority: Authority, tls: ServerTls) -> None:
    def twice(port: int) -> list[int]:
        client = http.client.HTTPSConnection("127.0.0.1", port, context=authority.client_context(), timeout=60)
        lengths = []
        for path in ("/whole/length", "/whole/chunked", "/"):
            client.request("GET", path)
            lengths.append(len(client.getresponse().read()))
        client.close()
        return lengths

    async with serving(tls) as port:
        assert await asyncio.to_thread(twice, port) == [len(BODY), len(BODY), 5]


ENDING = {
    "Connection: close": b"GET /?1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "HTTP/1.0": b"GET /?1 HTTP/1.0\r\n\r\n",
    "a body behind it": b"POST /?1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("first", ENDING.values(), ids=ENDING)
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.gen_test(timeout=30)
async def test_no_request_is_served_behind_one_that_ends_its_connection(
    authority: Authority, tls: ServerTls, first: bytes, secure: bool
) -> None:
    """Its answer would reach nobody, but a nonce would be spent."""
    Hello.served.clear()
    async with serving(tls if secure else None) as port:
        request = first + b"GET /?2 HTTP/1.1\r\nHost: test\r\n\r\n"
        got, _ = await asked(port, request, client_context(authority) if secure else None)
    assert got.count(b"HTTP/1.1 200") == 1
    assert Hello.served == ["/?1"]
