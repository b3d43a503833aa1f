"""HttpOrigin over TLS against real sockets: certificates, resumed sessions, cuts."""

import _ssl
import asyncio
import ctypes
import fcntl
import os
import socket
import ssl
import sys
import termios
from pathlib import Path

import pytest

from provider.errors import UpstreamTruncated, UpstreamUnreachable
from provider.testing.ports import free_ports
from provider.upstream.http_source import HttpSource
from tests.support.http_sources import CHUNKED, DATA, OK, TO_THE_END, chunks, fetch, get, opener, read_all, silent
from tests.support.raw_origin import Exchange, answering, raw_origin, tls_contexts


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


@pytest.mark.gen_test(timeout=30)
async def test_a_read_takes_so_many_records(tmp_path: Path) -> None:
    """An origin may send a record for each byte, and readers count bytes."""
    server, client = tls_contexts(tmp_path, "localhost")

    async def script(exchange: Exchange) -> None:
        await exchange.send(TO_THE_END)
        await exchange.send(DATA[:3000], step=1)

    body, counts, buffer = b"", [], memoryview(bytearray(100_000))
    async with (
        raw_origin(script, context=server) as origin,
        opener(tls_context=client) as opened,
        opened.opened(get(origin.url)) as source,
    ):
        while count := await source.read_into(buffer):
            body += buffer[:count]
            counts.append(count)
            # Until more records have come than one read takes.
            await asyncio.sleep(0.01)
    assert body == DATA[:3000]
    # The first ones came with the head.
    assert max(counts[1:]) <= 256


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
        (port,) = free_ports(1)
        for context in (server, other):
            listening = raw_origin(script, context=context, port=port)
            async with listening as origin, opened.opened(get(origin.url)) as source:
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
async def test_bytes_before_a_spoiled_record_are_delivered_and_then_the_body_is_cut(tmp_path: Path) -> None:
    """Both have arrived, so one read decrypts the good record and fails at the other."""
    server, client = tls_contexts(tmp_path, "localhost")
    spoiled = b"\x17\x03\x03\x01\x00" + b"\x00" * 256
    asked, received = asyncio.Event(), bytearray()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await asked.wait()
        await exchange.send(b"part")
        await exchange.gone()

    async def read(source: HttpSource) -> None:
        buffer = memoryview(bytearray(1000))
        while count := await source.read_into(buffer):
            received.extend(buffer[:count])

    async def until_arrived(count: int) -> None:
        while int.from_bytes(fcntl.ioctl(ours.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async with raw_origin(script, context=server) as origin, opener(tls_context=client) as opened:
        source = await opened.open(get(origin.url))
        ours = source._connection.socket
        asked.set()
        await until_arrived(4)
        # Beneath the TLS of the origin, which would encrypt it.
        os.write(origin.writers[0].get_extra_info("socket").fileno(), spoiled)
        await until_arrived(4 + len(spoiled))
        with pytest.raises(UpstreamTruncated):
            await read(source)
        source.close()
    assert received == b"part"


@pytest.mark.gen_test
async def test_an_origin_that_leaves_within_the_handshake_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked = asyncio.create_task(fetch(f"https://127.0.0.1:{listening.getsockname()[1]}/", attempts=1))
        taken, _ = await asyncio.to_thread(listening.accept)
        # Its end, after all that we said: a reset would be another failure.
        await asyncio.to_thread(taken.recv, 1 << 16)
        taken.close()
        with pytest.raises(UpstreamUnreachable) as failed:
            await asked
    assert "TLS failed" in (failed.value.detail or "")


@pytest.mark.gen_test
async def test_a_port_that_speaks_no_tls_is_unreachable() -> None:
    async with raw_origin(silent, greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as origin:
        with pytest.raises(UpstreamUnreachable):
            await fetch(origin.url.replace("http:", "https:"))


async def another_handshake(exchange: Exchange) -> None:
    """Ask for one, and wait for its end. Python has no call for it."""
    library = ctypes.CDLL(_ssl.__file__)
    # The second field of CPython's object is OpenSSL's.
    field = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    server = ctypes.c_void_p.from_address(id(exchange.writer.get_extra_info("ssl_object")._sslobj) + field)
    assert library.SSL_renegotiate(server) == 1
    assert library.SSL_do_handshake(server) == 1
    # The record leaves with the next bytes.
    await exchange.send(b"part")
    while library.SSL_renegotiate_pending(server):
        if exchange.writer.transport.is_closing():
            raise ConnectionResetError
        await asyncio.sleep(0.001)


@pytest.mark.gen_test(timeout=20)
async def test_an_origin_that_asks_for_another_handshake_gets_it(tmp_path: Path) -> None:
    """RFC 5246 section 7.4.1.1. Some ask for a certificate so, and send no more until they have an answer."""
    server, client = tls_contexts(tmp_path, "localhost")
    server.maximum_version = ssl.TLSVersion.TLSv1_2

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        await another_handshake(exchange)
        await exchange.send(b"rest")

    async with raw_origin(script, context=server) as origin:
        _, body = await fetch(origin.url, tls_context=client, idle_timeout_seconds=10.0)
    assert body == b"partrest"


@pytest.mark.gen_test(timeout=20)
async def test_an_origin_that_asks_for_handshakes_without_end_is_left(tmp_path: Path) -> None:
    """Each costs the event loop half a millisecond."""
    server, client = tls_contexts(tmp_path, "localhost")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    handshakes = 0

    async def script(exchange: Exchange) -> None:
        nonlocal handshakes
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n")
        for _ in range(100):
            await another_handshake(exchange)
            handshakes += 1

    async with raw_origin(script, context=server) as origin:
        with pytest.raises(UpstreamTruncated):
            await fetch(origin.url, tls_context=client)
    assert handshakes < 10
