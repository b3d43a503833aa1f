"""Servers that accept from one socket share out its connections, as the workers of a server do."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from provider.http1 import accept
from provider.http1.balance import Balance
from provider.http1.listener import PublicServer

WORKERS, CLIENTS = 3, 24
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("hello")


@contextmanager
def workers(balance: Balance, count: int) -> Iterator[tuple[list[PublicServer], int]]:
    listener, port = bind_unused_port()
    servers = []
    for index in range(count):
        server = PublicServer(Application([("/", Hello)], log_function=lambda _: None), share=balance.share(index))
        server.add_sockets([listener.dup()])
        servers.append(server)
    listener.close()
    try:
        yield servers, port
    finally:
        for server in servers:
            server.stop()


async def connected(port: int) -> asyncio.StreamWriter:
    """Connect, and have one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    async with asyncio.timeout(60):
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(5)
    return writer


def held(servers: list[PublicServer]) -> list[int]:
    return [len(server._connections) for server in servers]


async def leave(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.mark.gen_test
async def test_connections_that_come_at_once_are_shared_out() -> None:
    with workers(Balance(WORKERS), WORKERS) as (servers, port):
        writers = await asyncio.gather(*(connected(port) for _ in range(CLIENTS)))
        # An eighth of 7 is none, so that the largest may be ahead by the one that made it so.
        assert sum(held(servers)) == CLIENTS
        assert max(held(servers)) - min(held(servers)) <= 2
        await leave(list(writers))


@pytest.mark.gen_test
async def test_the_worker_whose_clients_left_takes_the_next_ones() -> None:
    with workers(Balance(2), 2) as (servers, port):
        writers = [await connected(port) for _ in range(8)]
        assert held(servers) == [4, 4]
        await servers[0].close_all_connections()
        async with asyncio.timeout(60):
            while held(servers)[0]:  # noqa: ASYNC110  Tornado tells when a stream is closed
                await asyncio.sleep(0.005)
        more = [await connected(port) for _ in range(4)]
        assert held(servers) == [4, 4]
        await leave([*writers, *more])


@pytest.mark.gen_test
async def test_a_worker_that_does_not_accept_holds_up_nobody() -> None:
    with workers(Balance(2), 1) as (servers, port):
        writers = await asyncio.gather(*(connected(port) for _ in range(CLIENTS)))
        assert held(servers) == [CLIENTS]
        await leave(list(writers))


@pytest.mark.gen_test(timeout=60)
async def test_a_worker_that_has_died_does_not_slow_down_the_others_for_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its number stays the least one until another worker has taken its place."""
    monkeypatch.setattr(accept, "TURN_SECONDS", 0.2)
    with workers(Balance(2), 1) as (servers, port):
        async with asyncio.timeout(15):
            writers = await asyncio.gather(*(connected(port) for _ in range(300)))
        assert held(servers) == [300]
        await leave(list(writers))


@pytest.mark.gen_test
async def test_a_worker_that_stops_leaves_its_place_to_a_successor() -> None:
    balance = Balance(2)
    with workers(balance, 2) as (servers, port):
        writers = [await connected(port) for _ in range(4)]
        servers[0].stop()
        successor = balance.share(0)
        await servers[0].close_all_connections()
        await asyncio.sleep(0)
        successor.hold(3)
        assert successor.is_larger
        await leave([*writers, await connected(port)])


@pytest.mark.gen_test
async def test_a_server_that_stops_while_it_leaves_the_turn_to_others_accepts_no_more() -> None:
    balance = Balance(2)
    with workers(balance, 1) as (servers, port):
        first = await connected(port)
        # It is larger than the other, so it leaves the turn to it, and is stopped before the pause ends.
        waiting = socket.create_connection(("127.0.0.1", port))
        servers[0].stop()
        await asyncio.sleep(0.02)
        assert held(servers) == [1]
        waiting.close()
        await leave([first])
