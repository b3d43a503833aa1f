"""Idle connections: who waited too long is closed, who was heard of is not."""

import asyncio
import time
from typing import cast

import pytest
from tornado.http1connection import HTTP1ServerConnection

from provider.handlers.idle import IdleConnections


class Stream:
    def __init__(self) -> None:
        self.closed_at: float | None = None

    def close(self) -> None:
        self.closed_at = time.monotonic()


class Connection:
    def __init__(self) -> None:
        self.stream = Stream()


def connection() -> HTTP1ServerConnection:
    return cast(HTTP1ServerConnection, Connection())


def closed_at(of: HTTP1ServerConnection) -> float:
    return cast(Stream, of.stream).closed_at or 0.0


def is_closed(of: HTTP1ServerConnection) -> bool:
    return closed_at(of) > 0


async def wait_closed(of: HTTP1ServerConnection) -> None:
    async with asyncio.timeout(10):
        while not is_closed(of):
            await asyncio.sleep(0.01)


@pytest.mark.gen_test(timeout=20)
async def test_who_waits_too_long_is_closed() -> None:
    idle, silent = IdleConnections(limit_seconds=0.05), connection()
    idle.begin(silent)
    await wait_closed(silent)
    assert len(idle) == 0


@pytest.mark.gen_test(timeout=20)
async def test_who_was_heard_of_is_left_alone() -> None:
    idle = IdleConnections(limit_seconds=0.05)
    asking, silent = connection(), connection()
    idle.begin(asking)
    idle.begin(silent)
    idle.end(asking)
    await wait_closed(silent)
    assert not is_closed(asking)


@pytest.mark.gen_test(timeout=20)
async def test_waiting_anew_starts_the_limit_again() -> None:
    idle = IdleConnections(limit_seconds=0.05)
    early, renewed = connection(), connection()
    idle.begin(renewed)
    idle.begin(early)
    idle.end(renewed)
    idle.begin(renewed)
    await wait_closed(early)
    await wait_closed(renewed)
    assert closed_at(early) <= closed_at(renewed)


@pytest.mark.gen_test(timeout=20)
async def test_connections_after_a_quiet_time_are_watched_too() -> None:
    idle = IdleConnections(limit_seconds=0.05)
    for _ in range(2):
        silent = connection()
        idle.begin(silent)
        await wait_closed(silent)
