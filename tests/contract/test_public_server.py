"""The listener under load: too many connections, refusals before a head is parsed, heads that never end."""

import asyncio
import fcntl
import json
import socket
import ssl
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from provider.admission.clients import Clients
from provider.admission.config import AdmissionConfig
from provider.admission.connections import Connections
from provider.crypto.certificate import ServerTls
from provider.errors import ProviderError
from provider.http1.listener import PublicServer
from provider.http1.streams import AnswersAtOnce, ServerStream, TlsServerStream
from tests.support.certificates import Authority

DOWNLOAD = b"GET /api/services/download?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"


class Said(RequestHandler):
    """Says what was asked for; `/held` once it is `released`."""

    asked: asyncio.Event
    released: asyncio.Event

    async def get(self) -> None:
        if self.request.path == "/held":
            self.asked.set()
            await self.released.wait()
        self.set_header("Content-Length", str(len(self.request.path)))
        self.write(self.request.path)


@dataclass
class Running:
    """A server. `full`: tell it to turn downloads away. `refused`: the codes that it reported."""

    server: PublicServer | None = None
    port: int = 0
    full: bool = False
    refused: list[str] = field(default_factory=list)
    trust: ssl.SSLContext | None = None

    def observe(self, error: ProviderError) -> None:
        self.refused.append(error.code)

    @property
    def unread_bytes(self) -> int:
        """Bytes that the streams of all connections have read from their sockets and nobody has taken yet."""
        assert self.server is not None
        return sum(connection.stream._read_buffer_size for connection in self.server._connections)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that arrived at the sockets of all connections and were not read."""
        assert self.server is not None
        counts = [fcntl.ioctl(one.stream.fileno(), termios.FIONREAD, bytes(4)) for one in self.server._connections]
        return sum(int.from_bytes(count, sys.byteorder) for count in counts)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)


@contextmanager
def running(
    connections: Connections | None = None,
    *,
    idle_seconds: float = 60,
    head_seconds: float = 60,
    authority: Authority | None = None,
) -> Iterator[Running]:
    state = Running(trust=authority.client_context() if authority else None)
    state.server = PublicServer(
        Application([("/.*", Said)], log_function=lambda _: None),
        ssl_options=ServerTls(authority.issue("listener")).context if authority else None,
        idle_connection_timeout=idle_seconds,
        connections=connections,
        clients=Clients(AdmissionConfig(limit_private_clients=True)),
        head_seconds=head_seconds,
        turns_away=lambda: state.full,
        observe_refusal=state.observe,
    )
    sockets = bind_sockets(0, "127.0.0.1")
    state.port = sockets[0].getsockname()[1]
    state.server.add_sockets(sockets)
    try:
        yield state
    finally:
        state.server.stop()


@pytest.fixture(params=["plain", "over TLS"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    """For tests of both kinds of connection."""
    return Authority(tmp_path) if request.param == "over TLS" else None


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = head.split("\r\n")[1:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(head[9:12]), headers, await reader.readexactly(int(headers["content-length"]))


@pytest.mark.gen_test(timeout=20)
async def test_a_full_server_refuses_downloads_at_once_and_keeps_the_connection(authority: Authority | None) -> None:
    with running(authority=authority) as state:
        reader, writer = await state.connect()
        state.full = True
        ids = set()
        for _ in range(3):
            writer.write(DOWNLOAD)
            status, headers, body = await answer(reader)
            assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/json")
            assert headers["access-control-allow-origin"] == "*"
            assert json.loads(body).keys() == {"error"}
            ids.add(headers["x-request-id"])
        assert len(ids) == 3
        assert state.refused == ["server_busy"] * 3
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[0] == 200
        state.full = False
        writer.write(DOWNLOAD)
        assert (await answer(reader))[2] == b"/api/services/download"
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_head_in_two_pieces_goes_the_ordinary_way(authority: Authority | None) -> None:
    with running(authority=authority) as state:
        state.full = True
        reader, writer = await state.connect()
        writer.write(DOWNLOAD[:20])
        await _until(lambda: state.unread_bytes == 20)
        writer.write(DOWNLOAD[20:])
        assert (await answer(reader))[0] == 200
        writer.close()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("full", [True, False])
async def test_a_request_that_comes_before_the_answer_to_the_last_is_looked_at_after_it(
    full: bool, authority: Authority | None
) -> None:
    Said.asked, Said.released = asyncio.Event(), asyncio.Event()
    with running(authority=authority) as state:
        reader, writer = await state.connect()
        writer.write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        await Said.asked.wait()
        state.full = full
        writer.write(DOWNLOAD)
        await _until(lambda: state.unread_bytes + state.waiting_bytes > 0)
        assert state.refused == []
        Said.released.set()
        assert (await answer(reader))[2] == b"/held"
        assert (await answer(reader))[0] == (503 if full else 200)
        assert state.refused == ["server_busy"] * full
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[2] == b"/"
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_pipelined_requests_are_all_answered_in_their_order(authority: Authority | None) -> None:
    with running(authority=authority) as state:
        state.full = True
        reader, writer = await state.connect()
        writer.write(DOWNLOAD + b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [(await answer(reader))[2] for _ in range(2)] == [b"/api/services/download", b"/second"]
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_request_whose_lines_end_in_lf_alone_is_not_taken_for_a_part_of_the_next(
    authority: Authority | None,
) -> None:
    with running(authority=authority) as state:
        state.full = True
        reader, writer = await state.connect()
        writer.write(b"GET /api/services/download?a=1 HTTP/1.1\nHost: x\n\n" + DOWNLOAD)
        assert [(await answer(reader))[0] for _ in range(2)] == [200, 503]
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_refused_client_that_has_left_is_let_go_without_a_word(
    authority: Authority | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Connections(max_all=10)
    with running(counted, authority=authority) as state:
        reader, writer = await state.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[0] == 200
        state.full = True
        for kind in (ServerStream, TlsServerStream):
            monkeypatch.setattr(kind, "write", _written_to_one_who_left)
        writer.write(DOWNLOAD)
        assert await _read_to_end(reader) == b""
        await _until(lambda: counted.open == 0)
        assert not caplog.records
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_refused_requests_keep_a_connection_from_being_idle() -> None:
    with running(idle_seconds=0.3) as state:
        state.full = True
        reader, writer = await state.connect()
        for _ in range(10):
            writer.write(DOWNLOAD)
            assert (await answer(reader))[0] == 503
            await asyncio.sleep(0.1)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_connection_too_many_is_told_so_and_closed_and_the_others_are_served() -> None:
    counted = Connections(max_all=2)
    with running(counted) as state:
        first, second = await state.connect(), await state.connect()
        await _until(lambda: counted.open == 2)
        reader, writer = await state.connect()
        status, headers, body = await answer(reader)
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body).keys() == {"error"}
        assert await reader.read() == b""
        writer.close()
        assert state.refused == ["server_full"]
        for own_reader, own_writer in (first, second):
            own_writer.write(DOWNLOAD)
            assert (await answer(own_reader))[0] == 200
        first[1].close()
        await _until(lambda: counted.open == 1)
        again = await state.connect()
        again[1].write(DOWNLOAD)
        assert (await answer(again[0]))[0] == 200
        again[1].close()
        second[1].close()
        await _until(lambda: counted.open == 0)


@pytest.mark.gen_test(timeout=20)
async def test_a_head_that_never_ends_is_cut_long_before_an_idle_connection() -> None:
    with running(idle_seconds=30, head_seconds=0.2) as state:
        idle, (reader, writer) = await state.connect(), await state.connect()
        feeding = asyncio.ensure_future(_feed(writer))
        assert await _read_to_end(reader) == b""
        feeding.cancel()
        writer.close()
        idle[1].write(DOWNLOAD)
        assert (await answer(idle[0]))[0] == 200
        idle[1].close()


@pytest.mark.gen_test(timeout=20)
async def test_a_flood_of_connections_leaves_nothing_behind() -> None:
    counted = Connections(max_all=50, max_per_client=10)
    with running(counted) as state:
        flood = [socket.create_connection(("127.0.0.1", state.port)) for _ in range(100)]
        await _until(lambda: len(state.refused) == 90)
        assert counted.open == 10
        for sock in flood:
            sock.close()
        await _until(lambda: counted.open == 0)
        reader, writer = await state.connect()
        writer.write(DOWNLOAD)
        assert (await answer(reader))[0] == 200
        writer.close()


async def _feed(writer: asyncio.StreamWriter) -> None:
    """A head without end, a line at a time."""
    writer.write(b"GET / HTTP/1.1\r\n")
    while True:
        await asyncio.sleep(0.02)
        writer.write(b"X: y\r\n")


def _written_to_one_who_left(stream: AnswersAtOnce, _: bytes) -> None:
    """What Tornado does where it meets the reset in a write."""
    stream.close(exc_info=ConnectionResetError())


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - what is waited for happens in the kernel and in Tornado
            await asyncio.sleep(0.005)
