"""The listener with TLS: a handshake has its limit, and a connection that passed it is not cut by that limit."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from provider import tls_listener
from provider.tls import ServerTls
from provider.tls_listener import CertificateWatch, PublicServer
from tests.support.certificates import Authority, replace

LIMIT_SECONDS = 0.3


class Hello(RequestHandler):
    def get(self) -> None:
        self.write(b"hello")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def serving(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, ServerTls]]:
    monkeypatch.setattr(tls_listener, "HANDSHAKE_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(tls_listener, "LOOK_SECONDS", 0.02)
    tls = ServerTls(authority.issue("listener"))
    server = PublicServer(Application([("/", Hello)]), ssl_options=tls.context)
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
        async with asyncio.timeout(5):
            assert await reader.read() == b""
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

    async with serving(authority, monkeypatch) as (port, _), asyncio.timeout(10):
        before = await serial()
        replace(str(authority.folder / "listener.key"), b"no key")
        while not warnings():  # noqa: ASYNC110 - polls a log
            await asyncio.sleep(0.01)
        assert await serial() == before
        authority.issue("listener")
        while await serial() == before:  # noqa: ASYNC110 - polls a handshake
            await asyncio.sleep(0.01)
    assert set(warnings()) == {"the certificate in use is kept"}
