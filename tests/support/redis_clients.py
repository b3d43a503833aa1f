"""Clients of Redis that are closed however their test ends."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from tornado.ioloop import IOLoop

from provider.redis.client import RedisClient
from provider.redis.url import RedisTarget, parse_target

RedisClientOf = Callable[..., RedisClient]
# Longer than any machine is too busy to answer: how long a client waits, where that is not what is tested.
TIMEOUT_SECONDS = 60.0
END_SECONDS = 60.0


@pytest.fixture
def redis_client(io_loop: IOLoop) -> Iterator[RedisClientOf]:
    """Opens clients: `redis_client(url, **options)`. They are closed after the test, and their connections gone.

    What a client that was left open still tries would keep the loop from ending. A connection with TLS is gone only
    when the server has answered its end.
    """
    opened: list[RedisClient] = []
    before = _sockets()

    def begin(url: str | RedisTarget, **options: Any) -> RedisClient:
        target = parse_target(url) if isinstance(url, str) else url
        opened.append(RedisClient(target, **{"timeout_seconds": TIMEOUT_SECONDS, **options}))
        return opened[-1]

    yield begin

    async def end() -> None:
        for client in opened:
            await client.close()
        deadline = time.monotonic() + END_SECONDS
        while _sockets() > before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    io_loop.asyncio_loop.run_until_complete(end())  # type: ignore[attr-defined]


def _sockets() -> int:
    """How many this process has."""
    return sum(connection.fd != -1 for connection in psutil.Process().net_connections("tcp"))
