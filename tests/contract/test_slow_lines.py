"""Consumers on slow lines: who is one, what it is given, and when the kernel is to report room."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from provider.streaming.slow_lines import FAST_ABOVE, PORTION_BYTES, SLOW_BELOW, UNSENT_BYTES, SlowLine
from tests.support.raw_origin import Exchange
from tests.support.relay_server import WITH_LENGTH, proxied

PLENTY = 1 << 40
# Ethernet's. With loopback's segments of 64 KiB the server's kernel takes megabytes at once.
SEGMENT_BYTES = 1448


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        yield sock


def low_mark(connection: socket.socket) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


def slow_line(connection: socket.socket) -> SlowLine:
    line = SlowLine(connection, accepted=0, now=0.0)
    line.begin_wait()
    line.end_wait(SLOW_BELOW - 1, 1.0)
    return line


def test_a_fast_consumer_is_given_what_the_kernel_accepts(connection: socket.socket) -> None:
    line = SlowLine(connection, accepted=0, now=0.0)
    before = low_mark(connection)
    line.begin_wait()
    assert low_mark(connection) == before
    line.end_wait(SLOW_BELOW, 1.0)
    assert not line.is_slow
    assert line.room_bytes(SLOW_BELOW) > PLENTY


def test_a_slow_consumer_gets_portions_and_is_left_alone_while_it_has_some(connection: socket.socket) -> None:
    line = slow_line(connection)
    accepted = SLOW_BELOW - 1
    assert line.is_slow
    assert line.room_bytes(accepted) == PORTION_BYTES
    assert line.room_bytes(accepted + PORTION_BYTES) == 0
    line.begin_wait()
    assert low_mark(connection) == 2 * UNSENT_BYTES
    line.end_wait(accepted + PORTION_BYTES, 2.0)
    # Else the kernel would not accept the next portion.
    assert low_mark(connection) == 0
    assert line.room_bytes(accepted + PORTION_BYTES) == PORTION_BYTES


@pytest.mark.parametrize(("bytes_per_second", "is_slow"), [(FAST_ABOVE - 1, True), (FAST_ABOVE, False)])
def test_a_slow_consumer_becomes_fast_at_a_higher_speed(
    connection: socket.socket, bytes_per_second: int, is_slow: bool
) -> None:
    line = slow_line(connection)
    line.begin_wait()
    line.end_wait(SLOW_BELOW - 1 + bytes_per_second, 2.0)
    assert line.is_slow is is_slow


def test_the_connection_is_left_as_it_was(connection: socket.socket) -> None:
    line = slow_line(connection)
    line.begin_wait()
    line.leave()
    assert low_mark(connection) == 0


def test_a_connection_that_is_closed_meanwhile_is_no_error(connection: socket.socket) -> None:
    line = slow_line(connection)
    connection.close()
    line.begin_wait()
    line.end_wait(SLOW_BELOW, 2.0)
    line.leave()


@pytest.mark.skipif(not hasattr(os, "splice"), reason="the system does not splice")
@pytest.mark.gen_test(timeout=40)
async def test_a_slow_consumer_wakes_the_server_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    size, wakes = 1 << 20, []
    end_wait = SlowLine.end_wait

    def counted(line: SlowLine, accepted: int, now: float) -> None:
        end_wait(line, accepted, now)
        if line.is_slow:
            wakes.append(accepted)

    def read_slowly(port: int) -> int:
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            count = 0
            while data := sock.recv(4096):
                count += len(data)
                time.sleep(0.02)
            return count

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH % size + bytes(size))

    monkeypatch.setattr(SlowLine, "end_wait", counted)
    async with proxied(script) as proxy:
        assert await asyncio.to_thread(read_slowly, proxy.port) > size
        assert (await proxy.outcome()).path == "splice"
    assert len(wakes) >= 3
    # A third of the kernel's own buffer would be 29 KB.
    steps = [later - earlier for earlier, later in pairwise(wakes)]
    assert sorted(steps)[len(steps) // 2] == PORTION_BYTES
