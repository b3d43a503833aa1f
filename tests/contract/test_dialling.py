"""A name with several addresses: the first one that answers is used (RFC 8305)."""

import asyncio
import errno
import socket
import ssl

import pytest

from provider.errors import UpstreamUnreachable
from provider.upstream.connections import Connections
from provider.upstream.names import Address
from provider.upstream.urls import parse_url

LOOPBACK, OTHER_LOOPBACK = "127.0.0.1", "127.0.0.2"


def dialling(*hosts: str) -> Connections:
    """Connections to a name with these addresses."""

    async def resolve(_: str, port: int) -> list[Address]:
        return [(socket.AF_INET, (host, port)) for host in hosts]

    return Connections(
        allow_private=True,
        connect_timeout_seconds=10.0,
        tls_context=ssl.create_default_context(),
        resolver=resolve,
    )


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
    with socket.create_server((LOOPBACK, 0)) as listening, socket.socket() as full, socket.socket() as filling:
        port = listening.getsockname()[1]
        full.bind((OTHER_LOOPBACK, port))
        # A full backlog: the kernel answers no further handshake.
        full.listen(0)
        filling.connect((OTHER_LOOPBACK, port))
        connection = await dialling(OTHER_LOOPBACK, LOOPBACK).dial(parse_url(f"http://two.example:{port}/"))
        assert connection.socket.getpeername() == (LOOPBACK, port)
        connection.close()
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the loser ends by itself
            await asyncio.sleep(0)
