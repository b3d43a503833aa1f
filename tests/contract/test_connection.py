"""One connection to an origin, over a real pair of sockets: full buffers, resets, and waits that end."""

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest

from provider.upstream.connection import Connection

BODY = bytes(range(256)) * 16_384


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end, which does not block, and the origin's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.gen_test
async def test_a_request_larger_than_the_buffers_is_sent_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    connection = Connection(ours)
    theirs.setblocking(False)
    sending = asyncio.create_task(connection.send_all(BODY))
    while not sending.done() and connection._waiting is None:  # noqa: ASYNC110 - of another task
        await asyncio.sleep(0)
    assert not sending.done()
    received = bytearray()
    while len(received) < len(BODY):
        received += await asyncio.get_running_loop().sock_recv(theirs, 1 << 16)
    await sending
    assert received == BODY
    connection.close()


@pytest.mark.gen_test
async def test_an_idle_connection_that_was_reset_is_not_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    connection = Connection(ours)
    assert connection.is_quiet()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    await connection.wait_readable(5)
    assert not connection.is_quiet()
    connection.close()


@pytest.mark.gen_test
async def test_a_closed_connection_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    connection = Connection(pair[0])
    waiting = asyncio.create_task(connection.wait_readable())
    await asyncio.sleep(0)
    connection.close()
    with pytest.raises(ConnectionAbortedError):
        await waiting
    with pytest.raises(ConnectionAbortedError):
        await connection.wait_readable()
    connection.close()


@pytest.mark.gen_test
async def test_bytes_that_come_as_a_wait_is_given_up_wake_nobody(pair: tuple[socket.socket, socket.socket]) -> None:
    """In one turn of the event loop, the socket is looked at after the wait was cancelled and before its task runs."""
    ours, theirs = pair
    loop, faults = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    connection = Connection(ours)
    waiting = asyncio.create_task(connection.wait_readable())
    await asyncio.sleep(0)
    theirs.send(b"x")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert not faults
    await connection.wait_readable()
    connection.close()


@pytest.mark.gen_test
async def test_a_limit_that_passed_between_two_waits_ends_the_next_one(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    connection = Connection(ours)
    theirs.send(b"x")
    connection.expire()
    with pytest.raises(TimeoutError):
        await connection.wait_readable()
    connection.close()
