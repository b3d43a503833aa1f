"""A name with several addresses: the first one that answers is used (RFC 8305)."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from provider.errors import UpstreamTimedOut, UpstreamUnreachable
from provider.testing.ports import free_ports
from provider.upstream import connections
from provider.upstream.connections import Connections
from provider.upstream.names import Address
from provider.upstream.urls import parse_url

LOOPBACK, OTHER_LOOPBACK = "127.0.0.1", "127.0.0.2"


def dialling(*hosts: str, connect_timeout_seconds: float = 10.0) -> Connections:
    """Connections to a name with these addresses."""

    async def resolve(_: str, port: int) -> list[Address]:
        return [(socket.AF_INET, (host, port)) for host in hosts]

    return Connections(
        allow_private=True,
        connect_timeout_seconds=connect_timeout_seconds,
        tls_context=ssl.create_default_context(),
        resolver=resolve,
    )


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Let the other loopback answer no handshake: the backlog is full."""
    with socket.socket() as full, socket.socket() as filling:
        full.bind((OTHER_LOOPBACK, port))
        full.listen(0)
        filling.connect(full.getsockname())
        yield


@pytest.mark.gen_test(timeout=30)
async def test_an_address_that_refuses_leaves_the_connection_to_the_next() -> None:
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        target = parse_url(f"http://two.example:{port}/")
        connection = await dialling(OTHER_LOOPBACK, LOOPBACK).dial(target)
        assert connection.socket.getpeername() == (LOOPBACK, port)
        connection.close()
        with pytest.raises(UpstreamUnreachable) as refused:
            await dialling(OTHER_LOOPBACK, OTHER_LOOPBACK).dial(target)
        assert refused.value.detail == f"origin: connect failed (errno {errno.ECONNREFUSED})"


@pytest.mark.gen_test(timeout=30)
async def test_an_address_that_does_not_answer_is_overtaken_and_given_up() -> None:
    with socket.create_server((LOOPBACK, 0)) as listening, silent(listening.getsockname()[1]):
        port = listening.getsockname()[1]
        connection = await dialling(OTHER_LOOPBACK, LOOPBACK).dial(parse_url(f"http://two.example:{port}/"))
        assert connection.socket.getpeername() == (LOOPBACK, port)
        connection.close()
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the loser ends by itself
            await asyncio.sleep(0)


@pytest.mark.gen_test(timeout=30)
async def test_a_refusal_does_not_give_up_the_address_that_is_slow() -> None:
    (port,) = free_ports(1)
    with silent(port), pytest.raises(UpstreamTimedOut):
        await dialling(OTHER_LOOPBACK, LOOPBACK, connect_timeout_seconds=0.6).dial(
            parse_url(f"http://two.example:{port}/")
        )


@pytest.mark.gen_test(timeout=30)
async def test_of_two_addresses_that_answer_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, made = asyncio.Event(), list[socket.socket]()

    async def connect(_: Address) -> socket.socket:
        await answered.wait()
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(connections, "_connect", connect)
    before = len(asyncio.all_tasks())
    dialled = asyncio.create_task(dialling(OTHER_LOOPBACK, LOOPBACK).dial(parse_url("http://two.example/")))
    while len(asyncio.all_tasks()) < before + 3:  # noqa: ASYNC110 - the second one starts a moment later
        await asyncio.sleep(0.01)
    answered.set()
    connection = await dialled
    await asyncio.sleep(0)
    assert sorted(one.fileno() == -1 for one in made) == [False, True]
    connection.close()
