"""The listener with TLS: a handshake has its limit, and a connection that passed it is not cut by that limit."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from provider.admission.clients import Clients
from provider.admission.config import AdmissionConfig
from provider.admission.connections import Connections
from provider.crypto.certificate import ServerTls
from provider.http1 import listener as tls_listener
from provider.http1.listener import CertificateWatch, PublicServer
from tests.support.certificates import Authority, replace

LIMIT_SECONDS = 0.3
CONNECTIONS = 4


class Hello(RequestHandler):
    def get(self) -> None:
        self.write(b"hello")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def serving(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, *, limit_seconds: float = LIMIT_SECONDS
) -> AsyncIterator[tuple[int, ServerTls]]:
    monkeypatch.setattr(tls_listener, "HANDSHAKE_SECONDS", limit_seconds)
    monkeypatch.setattr(tls_listener, "LOOK_SECONDS", 0.02)
    tls = ServerTls(authority.issue("listener"))
    server = PublicServer(
        Application([("/", Hello)]),
        ssl_options=tls.context,
        connections=Connections(max_all=100, max_per_client=CONNECTIONS),
        clients=Clients(AdmissionConfig(limit_private_clients=True)),
    )
    sock, port = bind_unused_port()
    server.add_socket(sock)
    watch = CertificateWatch(tls)
    try:
        yield port, tls
    finally:
        watch.stop()
        server.stop()
        await server.close_all_connections()


@pytest.mark.gen_test
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
async def test_a_handshake_that_does_not_end_is_cut(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    async with serving(authority, monkeypatch) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()


async def said_hello(authority: Authority, port: int, address: str) -> bool:
    """Is a client that comes from this address served?"""
    try:
        reader, writer = await asyncio.open_connection(
            "localhost", port, ssl=authority.client_context(), local_addr=(address, 0)
        )
    except OSError:
        return False
    writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    served = (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.abort()
    return served


def client_hello(authority: Authority) -> bytes:
    """The first bytes of a client."""
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        authority.client_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


@pytest.mark.gen_test
async def test_slow_handshakes_count_as_connections_until_they_are_cut(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some say nothing, some send their hello a byte at a time: others are served, and then they are again."""
    hello = client_hello(authority)
    assert len(hello) > 200
    async with serving(authority, monkeypatch, limit_seconds=2.0) as (port, _), asyncio.timeout(60):
        opening = (asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(CONNECTIONS))
        slow = await asyncio.gather(*opening)
        ends = asyncio.gather(*(reader.read() for reader, _ in slow), return_exceptions=True)
        sent = 0
        while not ends.done():
            # 200 bytes take twice the limit.
            for _, writer in slow[::2]:
                writer.write(hello[sent : sent + 1])
            sent += 1
            if sent == 1:
                assert not await said_hello(authority, port, "127.0.0.2")
                assert await said_hello(authority, port, "127.0.0.3")
            await asyncio.sleep(0.02)
        assert 1 <= sent < len(hello)
        # Without a word, or with a reset where bytes lay unread.
        assert all(end == b"" or isinstance(end, ConnectionResetError) for end in await ends)
        while not await said_hello(authority, port, "127.0.0.2"):  # noqa: ASYNC110 - polls a handshake
            await asyncio.sleep(0.01)
        for _, writer in slow:
            writer.close()


@pytest.mark.gen_test
async def test_a_connection_outlives_the_limit_of_its_handshake(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(authority, monkeypatch) as (port, _):
        reader, writer = await asyncio.open_connection("localhost", port, ssl=authority.client_context())
        await asyncio.sleep(2 * LIMIT_SECONDS)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.transport.abort()


@pytest.mark.gen_test
async def test_the_watch_takes_a_changed_file_and_goes_on_after_a_wrong_one(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def serial() -> str:
        _, writer = await asyncio.open_connection("localhost", port, ssl=authority.client_context())
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        writer.transport.abort()
        return str(shown.getpeercert()["serialNumber"])  # type: ignore[index]

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    async with serving(authority, monkeypatch) as (port, _), asyncio.timeout(30):
        before = await serial()
        replace(str(authority.folder / "listener.key"), b"no key")
        while not warnings():  # noqa: ASYNC110 - polls a log
            await asyncio.sleep(0.01)
        assert await serial() == before
        authority.issue("listener")
        while await serial() == before:  # noqa: ASYNC110 - polls a handshake
            await asyncio.sleep(0.01)
    assert set(warnings()) == {"the certificate in use is kept"}
