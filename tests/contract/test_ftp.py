"""Files on FTP servers, plain and over TLS: a real server as a process, and one that misbehaves by script."""

import asyncio
import errno
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application

from provider.errors import (
    UnsafeAddress,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamTooShort,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from provider.http1.handler import HttpHandler
from provider.http1.listener import PublicServer
from provider.http1.sink import TornadoSink
from provider.streaming.headers import reply_headers
from provider.streaming.pipes import PipePool
from provider.streaming.progress import Progress
from provider.streaming.relay import Relayed, StreamEngine
from provider.streaming.resume import Reopen, Resumer, Resuming
from provider.testing.ports import free_ports
from provider.upstream.addresses import Resolver
from provider.upstream.answer import Whole, answer_of
from provider.upstream.config import UpstreamConfig
from provider.upstream.ftp_source import FtpOrigin, FtpSource
from provider.upstream.ftp_url import parse_ftp_url
from provider.upstream.inspect import inspect
from provider.upstream.names import Address
from provider.upstream.resume import Rest, rest_of
from provider.upstream.shares import asking_client
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH
from tests.support.certificates import Authority
from tests.support.origin import pattern
from tests.support.processes import running

SIZE = 3_000_000
PLAIN_MODES = ("plain", "lies", "no-size", "no-rest", "cuts", "silently-cuts", "no-pasv", "code-page")
TLS_MODES = ("explicit", "implicit", "breaks-tls")
ODD_SIZES = ("size-0", "size-more", "size-words", "size-450")
USERINFO = f"publisher:{quote('p@ss:w0rd/planted', safe='')}"
NAMES = ("data.bin", "empty", "folder/with space & ü.csv", "%2e;a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that all servers serve."""
    path = tmp_path_factory.mktemp("ftp")
    (path / "folder").mkdir()
    for name, data in zip(NAMES, (pattern(SIZE), b"", b"a,b\n1,2\n", b"odd"), strict=True):
        (path / name).write_bytes(data)
    (path / "unreadable").write_bytes(b"x")
    (path / "unreadable").chmod(0 if os.geteuid() else 0o600)
    return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def servers(folder: Path, authority: Authority) -> Iterator[dict[str, dict[str, Any]]]:
    """A server for each mode."""
    files = authority.issue("ftp", "localhost")
    with ExitStack() as stack:
        modes = {mode: (mode,) for mode in (*PLAIN_MODES, *ODD_SIZES)}
        modes |= {mode: (mode, files.certificate, files.key) for mode in TLS_MODES}
        yield {
            mode: stack.enter_context(running("ftp_server.py", str(folder), *arguments))
            for mode, arguments in modes.items()
        }


@pytest.fixture(scope="module")
def ports(servers: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Port of the server for each mode."""
    return {mode: ready["port"] for mode, ready in servers.items()}


@asynccontextmanager
async def opener(
    tls_context: ssl.SSLContext | None = None, resolver: Resolver | None = None, **options: object
) -> AsyncIterator[FtpOrigin]:
    usual = {"allow_non_public_ip": True, "first_byte_timeout_seconds": 5.0, "idle_timeout_seconds": 5.0}
    config = UpstreamConfig(**(usual | options))  # type: ignore[arg-type]
    yield FtpOrigin(config, tls_context=tls_context or ssl.create_default_context(), resolver=resolver)


async def read_all(source: FtpSource) -> bytes:
    out, buffer = b"", memoryview(bytearray(1 << 18))
    while count := await source.read_into(buffer):
        out += buffer[:count]
    return out


async def fetch(url: str, range_header: str | None = None, **options: object) -> tuple[FtpSource, bytes]:
    async with opener(**options) as origin:
        source = await origin.open(parse_ftp_url(url), range_header)
        try:
            return source, await read_all(source)
        finally:
            source.close()


def at(port: int, name: str = "data.bin", *, scheme: str = "ftp", userinfo: str = USERINFO) -> str:
    return f"{scheme}://{userinfo}@localhost:{port}/{quote(name)}"


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("name", NAMES)
async def test_files_arrive_whole_whatever_their_name(ports: dict[str, int], folder: Path, name: str) -> None:
    source, body = await fetch(at(ports["plain"], name))
    expected = (folder / name).read_bytes()
    assert hashlib.sha256(body).digest() == hashlib.sha256(expected).digest()
    framing, length = ("length", len(expected)) if expected else ("close", None)
    assert (source.status, source.framing, source.length_bytes) == (200, framing, length)
    assert source.final_url_path == "/" + quote(name)


@pytest.mark.gen_test(timeout=20)
async def test_anonymous_is_the_default_user(ports: dict[str, int]) -> None:
    _, body = await fetch(f"ftp://localhost:{ports['plain']}/data.bin")
    assert len(body) == SIZE


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [
        ("bytes=0-99", 206, 0, 99),
        ("bytes=1000000-", 206, 1_000_000, SIZE - 1),
        ("bytes=2999999-9999999", 206, SIZE - 1, SIZE - 1),
        ("bytes=-7", 206, SIZE - 7, SIZE - 1),
        ("bytes=-9999999", 206, 0, SIZE - 1),
        ("bytes=5-6,8-9", 200, 0, SIZE - 1),
        ("lines=1-2", 200, 0, SIZE - 1),
    ],
)
async def test_ranges_are_served(ports: dict[str, int], wanted: str, status: int, first: int, last: int) -> None:
    source, body = await fetch(at(ports["plain"]), wanted)
    assert (source.status, source.length_bytes) == (status, last - first + 1)
    assert body == pattern(SIZE)[first : last + 1]
    stated = f"bytes {first}-{last}/{SIZE}" if status == 206 else None
    assert source.headers.get("Content-Range") == stated


@pytest.mark.gen_test(timeout=20)
async def test_a_server_that_cannot_start_in_the_middle_sends_the_whole_file(ports: dict[str, int]) -> None:
    source, body = await fetch(at(ports["no-rest"]), "bytes=1000000-")
    assert (source.status, source.length_bytes, source.headers.get("Content-Range")) == (200, SIZE, None)
    assert body == pattern(SIZE)
    source, body = await fetch(at(ports["no-rest"]), "bytes=0-99")
    assert (source.status, body) == (206, pattern(100))


@pytest.mark.gen_test(timeout=20)
async def test_a_range_past_the_end_is_416(ports: dict[str, int]) -> None:
    source, body = await fetch(at(ports["plain"]), f"bytes={SIZE}-")
    assert (source.status, body, source.headers.get("Content-Range")) == (416, b"", f"bytes */{SIZE}")


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("mode", ["size-0", "size-450"])
async def test_a_size_that_says_nothing_is_none(ports: dict[str, int], mode: str) -> None:
    source, body = await fetch(at(ports[mode]), "bytes=5-9")
    assert (source.status, source.length_bytes, source.framing) == (200, None, "close")
    assert body == pattern(SIZE)


@pytest.mark.gen_test(timeout=20)
async def test_a_size_may_have_a_word_behind_it(ports: dict[str, int]) -> None:
    source, body = await fetch(at(ports["size-words"]), "bytes=5-9")
    assert (source.status, source.length_bytes, body) == (206, 5, pattern(SIZE)[5:10])


@pytest.mark.gen_test(timeout=20)
async def test_a_file_that_the_server_confirms_as_shorter_is_short_for_good(ports: dict[str, int]) -> None:
    with pytest.raises(UpstreamTooShort):
        await fetch(at(ports["size-more"]))


def logins(ready: dict[str, Any]) -> int:
    """How many this server has had."""
    file = Path(ready["logins"])
    return file.stat().st_size if file.exists() else 0


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("splices", [True, False])
async def test_a_shorter_file_is_cut_at_once_and_asked_for_once(
    servers: dict[str, dict[str, Any]], folder: Path, *, splices: bool
) -> None:
    os.utime(folder / "data.bin", (1_700_000_000, 1_700_000_000))
    ready = servers["size-more"]
    before = logins(ready)
    target = parse_ftp_url(at(ready["port"]))
    async with opener(idle_timeout_seconds=60.0) as origin:

        async def reopen(rest: Rest) -> FtpSource:
            return await origin.open(target, rest.range_header, if_range=rest.validator)

        relayed, received = await relayed_to_a_socket(await origin.open(target, None), reopen, splices=splices)
    assert (relayed.outcome, relayed.resumes, relayed.bytes_sent) == ("upstream_truncated", 0, SIZE)
    assert pattern(SIZE).startswith(received), "a reset may take the last bytes with it"
    assert logins(ready) == before + 1


@pytest.mark.gen_test(timeout=20)
async def test_epsv_is_asked_where_pasv_is_refused(ports: dict[str, int]) -> None:
    _, body = await fetch(at(ports["no-pasv"]))
    assert body == pattern(SIZE)


@pytest.mark.gen_test(timeout=20)
async def test_utf8_is_switched_on_where_it_is_offered(ports: dict[str, int]) -> None:
    _, body = await fetch(at(ports["code-page"], "folder/with space & ü.csv"))
    assert body == b"a,b\n1,2\n"


@pytest.mark.gen_test(timeout=20)
async def test_the_type_of_a_url_is_no_part_of_the_name(ports: dict[str, int]) -> None:
    source, body = await fetch(at(ports["plain"]) + ";type=i")
    assert (source.final_url_path, len(body)) == ("/data.bin", SIZE)


@pytest.mark.gen_test(timeout=20)
async def test_a_server_without_size_is_believed_when_it_confirms(ports: dict[str, int]) -> None:
    source, body = await fetch(at(ports["no-size"]), "bytes=5-9")
    assert (source.status, source.length_bytes, source.framing) == (200, None, "close")
    assert body == pattern(SIZE)
    assert "Last-Modified" not in source.headers
    assert rest_of(source) is None


@pytest.mark.gen_test(timeout=20)
async def test_a_cut_transfer_is_continued_while_the_file_is_the_same(ports: dict[str, int], folder: Path) -> None:
    """By its size and time, when that is well in the past: FTP has no better validator."""
    path = folder / "small.bin"
    path.write_bytes(pattern(500_001))
    target, buffer, got = parse_ftp_url(at(ports["cuts"], path.name)), memoryview(bytearray(1 << 18)), b""
    async with opener() as origin:

        async def reopen(rest: Rest) -> FtpSource:
            return await origin.open(target, rest.range_header, if_range=rest.validator)

        source: Source | None = await origin.open(target, "bytes=1-")
        assert source is not None
        assert rest_of(source) is None, "changed a moment ago"
        source.close()
        os.utime(path, (1_700_000_000, 1_700_000_000))
        source = await origin.open(target, "bytes=1-")
        assert source is not None
        resumer = Resumer(source, Resuming(reopen, 10))
        while len(got) < 500_000:
            assert source is not None
            try:
                got += buffer[: await source.read_into(buffer)]
            except UpstreamTruncated:
                source.close()
                source = await resumer.resume(len(got))
        source.close()
        assert got == pattern(500_001)[1:]
        assert resumer.resumes >= 2
        os.utime(path, (1_700_000_001, 1_700_000_001))
        assert await resumer.resume(len(got) - 1) is None


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("mode", ["cuts", "silently-cuts"])
async def test_a_cut_transfer_is_truncated(ports: dict[str, int], mode: str) -> None:
    """Whether the server says so or never replies again, which is waited for up to a limit."""
    with pytest.raises(UpstreamTruncated):
        await fetch(at(ports[mode]), first_byte_timeout_seconds=1.0)


@pytest.mark.gen_test(timeout=20)
async def test_data_connections_go_to_the_checked_address_whatever_the_server_says(ports: dict[str, int]) -> None:
    """The server's passive reply names 10.11.12.13."""
    _, body = await fetch(at(ports["lies"]))
    assert len(body) == SIZE


@pytest.mark.gen_test(timeout=20)
async def test_explicit_tls_protects_both_connections(ports: dict[str, int], authority: Authority) -> None:
    url = at(ports["explicit"], scheme="ftps")
    source, body = await fetch(url, "bytes=10-", tls_context=authority.client_context())
    assert (source.status, body) == (206, pattern(SIZE)[10:])
    assert source.raw_socket() is None


@pytest.mark.gen_test(timeout=20)
async def test_implicit_tls_begins_with_the_first_byte(ports: dict[str, int], authority: Authority) -> None:
    """As on port 990, which tests cannot bind."""
    target = replace(parse_ftp_url(at(ports["implicit"], scheme="ftps")), security="implicit")
    async with opener(tls_context=authority.client_context()) as origin:
        source = await origin.open(target, None)
        assert await read_all(source) == pattern(SIZE)
        source.close()
    with pytest.raises(UpstreamUnreachable):
        async with opener() as origin:
            await origin.open(target, None)


@pytest.mark.gen_test(timeout=20)
async def test_certificates_are_checked_against_the_name(ports: dict[str, int], authority: Authority) -> None:
    url = at(ports["explicit"], scheme="ftps")
    with pytest.raises(UpstreamUnreachable):
        await fetch(url)
    with pytest.raises(UpstreamUnreachable):
        await fetch(url.replace("localhost", "127.0.0.1"), tls_context=authority.client_context())


@pytest.mark.gen_test(timeout=20)
async def test_a_data_connection_without_its_tls_is_no_file(ports: dict[str, int], authority: Authority) -> None:
    with pytest.raises(UpstreamUnreachable) as failed:
        await fetch(at(ports["breaks-tls"], scheme="ftps"), tls_context=authority.client_context(), attempts=1)
    assert failed.value.detail == "origin: TLS of the data connection failed"


@pytest.mark.gen_test(timeout=20)
async def test_a_password_is_not_sent_in_the_clear_to_a_server_without_tls(ports: dict[str, int]) -> None:
    with pytest.raises(UpstreamRefused):
        await fetch(at(ports["plain"], scheme="ftps"))


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    ("name", "userinfo"),
    [("missing.csv", USERINFO), ("folder", USERINFO), ("../../etc/passwd", USERINFO), ("data.bin", "publisher:no")],
)
async def test_refusals_of_the_server_are_no_file(ports: dict[str, int], name: str, userinfo: str) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        await fetch(at(ports["plain"], name, userinfo=userinfo))
    assert "missing" not in f"{caught.value} {caught.value.detail}"


@pytest.mark.gen_test(timeout=20)
async def test_files_are_described_with_their_checksum(ports: dict[str, int]) -> None:
    async with opener() as origin:
        info = await inspect(
            origin.open(parse_ftp_url(at(ports["plain"])), None), want_checksum=True, max_checksum_bytes=SIZE
        )
        assert (info.valid, info.content_length, info.filename) == (True, str(SIZE), "data.bin")
        assert info.checksum == hashlib.sha256(pattern(SIZE)).hexdigest()
        info = await inspect(origin.open(parse_ftp_url(at(ports["plain"], "missing")), None))
        assert not info.valid


@pytest.mark.gen_test(timeout=20)
async def test_private_addresses_are_refused_before_anything_is_sent() -> None:
    async with scripted(_never) as server:
        with pytest.raises(UnsafeAddress):
            await fetch(f"ftp://localhost:{server.port}/f", allow_non_public_ip=False)
        assert server.connections == 0


@pytest.mark.gen_test(timeout=20)
async def test_the_name_is_resolved_once(ports: dict[str, int]) -> None:
    asked = []

    async def resolver(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [(2, ("127.0.0.1", port))]

    _, body = await fetch(at(ports["plain"]).replace("localhost", "ftp.test"), resolver=resolver)
    assert (asked, len(body)) == (["ftp.test"], SIZE)


class _Relaying(HttpHandler):
    """Relays an FTP source as a download does."""

    def initialize(self, source: FtpSource, reopen: Reopen, engine: StreamEngine, ended: list[Relayed]) -> None:
        self._needs = source, reopen, engine, ended

    async def get(self) -> None:
        source, reopen, engine, ended = self._needs
        answer = answer_of(NO_WISH, source)
        assert isinstance(answer, Whole)
        ended.append(
            await engine.relay(
                source,
                TornadoSink(self),
                reply_headers(source.headers, answer, name="data.bin"),
                status=answer.status,
                progress=Progress(),
                reopen=reopen,
            )
        )


async def relayed_to_a_socket(source: FtpSource, reopen: Reopen, *, splices: bool) -> tuple[Relayed, bytes]:
    """How the relay ended, and the body as far as it came."""
    ended: list[Relayed] = []
    pipes = PipePool()
    if not splices:
        pipes.disable()
    engine = StreamEngine(60.0, max_resumes=50, pipes=pipes)
    needs = {"source": source, "reopen": reopen, "engine": engine, "ended": ended}
    server = PublicServer(Application([("/", _Relaying, needs)], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    received = bytearray()
    try:
        while piece := await reader.read(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    writer.close()
    server.stop()
    pipes.close()
    return ended[0], bytes(received.partition(b"\r\n\r\n")[2])


# By script


class Server:
    """A control connection that answers as its script says."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.asked, self.ended = asyncio.Event(), asyncio.Event()
        self.writer: asyncio.StreamWriter


Answers = Callable[[Server, str], Awaitable[str | None]]


@asynccontextmanager
async def scripted(
    answer: Answers, greeting: bytes = b"220 hello\r\n", host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.writer = writer
        try:
            writer.write(greeting)
            while line := (await reader.readline()).decode("latin-1").strip():
                server.asked.set()
                reply = await answer(server, line)
                if reply is not None:
                    writer.write(reply.encode("latin-1") + b"\r\n")
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            server.ended.set()
            writer.close()

    listener = await asyncio.start_server(serve, host, 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


async def _never(server: Server, line: str) -> str | None:
    return None


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_server_times_out_and_is_left() -> None:
    async with scripted(_never) as server:
        with pytest.raises(UpstreamTimedOut):
            await fetch(f"ftp://127.0.0.1:{server.port}/f", first_byte_timeout_seconds=0.2)
        await asyncio.wait_for(server.ended.wait(), 5)


@pytest.mark.gen_test(timeout=20)
async def test_a_server_that_drips_cannot_outlast_the_limit() -> None:
    """Each line comes within the limit for one reply, so the whole has one too."""

    async def drip(server: Server, line: str) -> str | None:
        return "220-more" if line.startswith("USER") else None

    async def forever(server: Server, line: str) -> str | None:
        return "\r\n".join(["230-x"] * 10_000)

    for answers in (drip, forever):
        async with scripted(answers) as server:
            with pytest.raises(UpstreamError):
                await fetch(
                    f"ftp://127.0.0.1:{server.port}/f", first_byte_timeout_seconds=0.3, connect_timeout_seconds=0.3
                )
            await asyncio.wait_for(server.ended.wait(), 5)


@pytest.mark.gen_test(timeout=20)
async def test_a_server_that_drips_its_last_reply_cannot_outlast_the_limit() -> None:
    """Each line comes within the limit for one reply. Without a limit for all, it would hold a slot for ever."""

    async def no_data(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def drip(server: Server, line: str) -> str | None:
        if line.startswith("PASV"):
            return f"227 here (127,0,0,1,{port // 256},{port % 256})"
        return {"SIZE": "500 unknown", "RETR": "150 here\r\n226-more"}.get(line.partition(" ")[0], "200 fine")

    data = await asyncio.start_server(no_data, "127.0.0.1", 0)
    port = data.sockets[0].getsockname()[1]

    async def go_on(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"226-more\r\n")
            await asyncio.sleep(0.05)

    async with scripted(drip) as server, opener(idle_timeout_seconds=0.3) as origin:
        source = await origin.open(parse_ftp_url(f"ftp://127.0.0.1:{server.port}/f"), None)
        dripping = asyncio.create_task(go_on(server.writer))
        try:
            async with asyncio.timeout(10):
                with pytest.raises(UpstreamTruncated):
                    await read_all(source)
                await server.ended.wait()
        finally:
            source.close()
            dripping.cancel()
            data.close()


@pytest.mark.gen_test(timeout=20)
async def test_replies_without_end_are_not_read_to_their_end() -> None:
    async def many(server: Server, line: str) -> str | None:
        return "\r\n".join(["230-x"] * 20_000)

    async with scripted(many) as server, asyncio.timeout(10):
        with pytest.raises(UpstreamError) as failed:
            await fetch(f"ftp://127.0.0.1:{server.port}/f", first_byte_timeout_seconds=60.0)
        assert failed.value.detail == "origin: the server does not speak FTP"
        await server.ended.wait()


def by_command(replies: dict[str, str], lines: list[str]) -> Answers:
    """Answers with these replies, else with 200; notes what was asked."""

    async def answer(server: Server, line: str) -> str | None:
        lines.append(line)
        return replies.get(line.partition(" ")[0], "200 fine")

    return answer


@pytest.mark.gen_test(timeout=20)
async def test_utf8_is_not_switched_on_where_it_is_not_offered() -> None:
    lines: list[str] = []
    replies = {"FEAT": "211-Features:\r\n MDTM\r\n211 End", "SIZE": "550 none"}
    async with scripted(by_command(replies, lines)) as server:
        with pytest.raises(UpstreamRefused):
            await fetch(f"ftp://127.0.0.1:{server.port}/{quote('ü')}")
    assert "FEAT" in lines
    assert not [line for line in lines if line.startswith("OPTS")]


@pytest.mark.gen_test(timeout=20)
async def test_a_file_that_is_gone_is_not_asked_for_from_its_beginning() -> None:
    """550 where a server without REST says 501 or 502."""
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as data:
        port = data.getsockname()[1]
        passive = f"227 Entering Passive Mode (127,0,0,1,{port >> 8},{port & 255})"
        replies = {"SIZE": "213 1000", "PASV": passive, "REST": "350 go on", "RETR": "550 gone"}
        async with scripted(by_command(replies, lines)) as server:
            with pytest.raises(UpstreamRefused):
                await fetch(f"ftp://127.0.0.1:{server.port}/f", "bytes=5-")
    assert [line for line in lines if line.startswith(("REST", "RETR"))] == ["REST 5", "RETR /f"]


@pytest.mark.gen_test(timeout=20)
async def test_a_server_without_a_data_connection_is_refused() -> None:
    """Over IPv6, for which there is no PASV."""
    lines: list[str] = []
    replies = {"SIZE": "213 1000", "EPSV": "502 never"}
    async with scripted(by_command(replies, lines), host="::1") as server:
        with pytest.raises(UpstreamRefused) as refused:
            await fetch(f"ftp://[::1]:{server.port}/f")
    assert refused.value.detail == "the FTP server answered 502"


@pytest.mark.gen_test(timeout=20)
async def test_the_next_address_is_tried(ports: dict[str, int]) -> None:
    async def resolver(host: str, port: int) -> list[Address]:
        return [(2, (numbers, port)) for numbers in addresses]

    addresses = ["127.0.0.2", "127.0.0.1"]
    url = at(ports["plain"]).replace("localhost", "ftp.test")
    _, body = await fetch(url, resolver=resolver)
    assert len(body) == SIZE
    addresses = ["127.0.0.2", "127.0.0.3"]
    with pytest.raises(UpstreamUnreachable) as failed:
        await fetch(url, resolver=resolver)
    assert failed.value.detail == f"origin: FTP connection failed (errno {errno.ECONNREFUSED})"


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("answers", [True, False])
async def test_an_open_that_was_given_up_says_nothing_to_a_server_that_connects_later(*, answers: bool) -> None:
    """While the handshake lasts there is no socket that could be shut down, and there may be another address."""
    with socket.socket() as full, socket.socket() as filling:
        # A second server takes the port below, at another address.
        (port,) = free_ports(1)
        full.bind(("127.0.0.2", port))
        full.listen(0)
        filling.connect(full.getsockname())

        async def resolver(host: str, port: int) -> list[Address]:
            return [(2, ("127.0.0.2", port)), (2, ("127.0.0.1", port))]

        # The thread of the accepts below.
        await asyncio.to_thread(int)
        threads = threading.active_count()
        with socket.create_server(("127.0.0.1", port)) as other:
            async with opener(resolver=resolver, connect_timeout_seconds=30.0 if answers else 0.5) as origin:
                opening = asyncio.create_task(origin.open(parse_ftp_url(f"ftp://ftp.test:{port}/f"), None))
                await until(lambda: threading.active_count() > threads)
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
                if answers:
                    full.accept()[0].close()
                    late, _ = await asyncio.to_thread(full.accept)
                    late.settimeout(10)
                    late.send(b"220 hello\r\n")
                    assert await asyncio.to_thread(late.recv, 100) == b""
                    late.close()
                await until(lambda: threading.active_count() <= threads)
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.accept()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\x00\r\n", b"SSH-2.0-x\r\n"])
async def test_what_is_no_ftp_server_is_an_upstream_error(greeting: bytes) -> None:
    async with scripted(_never, greeting) as server:
        with pytest.raises(UpstreamError):
            await fetch(f"ftp://127.0.0.1:{server.port}/f", connect_timeout_seconds=0.5)


@pytest.mark.gen_test(timeout=20)
async def test_only_what_may_pass_is_tried_again(ports: dict[str, int]) -> None:
    for greeting, expected, connections in (
        (b"421 too many\r\n", UpstreamUnreachable, 3),
        (b"530 never\r\n", UpstreamRefused, 1),
    ):
        async with scripted(_never, greeting) as server:
            with pytest.raises(expected):
                await fetch(f"ftp://127.0.0.1:{server.port}/f", attempts=3)
            assert server.connections == connections


@pytest.mark.gen_test(timeout=20)
async def test_closing_a_source_ends_both_connections(ports: dict[str, int]) -> None:
    async with opener() as origin:
        source = await origin.open(parse_ftp_url(at(ports["plain"])), None)
        raw = source.raw_socket()
        assert raw is not None
        source.close()
        assert raw.fileno() == -1
        assert source._session._ftp.sock is None
        # The data may end at the same moment, and then its confirmation is waited for.
        with pytest.raises(UpstreamUnreachable):
            await asyncio.to_thread(source._session.confirm)


@pytest.mark.gen_test(timeout=20)
async def test_cancelling_an_open_leaves_nothing_behind() -> None:
    async with scripted(_never) as server, opener(first_byte_timeout_seconds=30.0) as origin:
        opening = asyncio.ensure_future(origin.open(parse_ftp_url(f"ftp://127.0.0.1:{server.port}/f"), None))
        await asyncio.wait_for(server.asked.wait(), 5)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.wait_for(server.ended.wait(), 5)


# Silent servers


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def opened_as(client: bytes | None, origin: FtpOrigin, url: str) -> FtpSource:
    asking_client.set(client)
    return await origin.open(parse_ftp_url(url), None)


async def closed(logins: list[asyncio.Task[FtpSource]], threads: int) -> None:
    for login in logins:
        login.cancel()
    await asyncio.wait(logins)
    await until(lambda: threading.active_count() <= threads)


@pytest.mark.gen_test(timeout=60)
async def test_silent_servers_delay_no_login_of_others(ports: dict[str, int]) -> None:
    threads = threading.active_count()
    async with scripted(_never) as server, opener(first_byte_timeout_seconds=30.0) as origin:
        silent = f"ftp://127.0.0.1:{server.port}/f"
        logins = [asyncio.create_task(opened_as(None, origin, silent)) for _ in range(40)]
        await until(lambda: server.connections == len(logins))
        async with asyncio.timeout(10):
            source = await opened_as(None, origin, at(ports["plain"]))
            assert len(await read_all(source)) == SIZE
        source.close()
        await closed(logins, threads)


@pytest.mark.gen_test(timeout=60)
async def test_one_client_waits_for_its_own_logins_only(ports: dict[str, int]) -> None:
    threads = threading.active_count()
    async with scripted(_never) as server, opener(first_byte_timeout_seconds=30.0) as origin:
        silent = f"ftp://127.0.0.1:{server.port}/f"
        logins = [asyncio.create_task(opened_as(b"aaaa", origin, silent)) for _ in range(20)]
        await until(lambda: server.connections == 16)
        own = asyncio.create_task(opened_as(b"aaaa", origin, at(ports["plain"])))
        async with asyncio.timeout(10):
            (await asyncio.create_task(opened_as(b"bbbb", origin, at(ports["plain"])))).close()
        assert not own.done()
        assert server.connections == 16
        # A login that was given up leaves its slot to the next one of its client.
        for login in logins:
            login.cancel()
        async with asyncio.timeout(10):
            (await own).close()
        await closed(logins, threads)
