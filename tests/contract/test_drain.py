"""The end of a worker over real connections: whose request is waited for, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from provider.admin.health import Readiness
from provider.http1.listener import PublicServer
from provider.process import worker as process

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hello(RequestHandler):
    def get(self) -> None:
        self.write(b"hello")


@dataclass
class Told:
    """As `worker.Stop`, without a process to signal."""

    at_once: asyncio.Event = field(default_factory=asyncio.Event)
    alone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Ending:
    """A worker that ends when `stop` says how."""

    server: PublicServer
    port: int
    stop: Told = field(default_factory=Told)
    readiness: Readiness = field(default_factory=lambda: Readiness({}))

    def drain(self, *, seconds: float = 60) -> "asyncio.Task[bool]":
        parts: Any = SimpleNamespace(readiness=self.readiness, frame=SimpleNamespace(in_progress=set()))
        limits: Any = SimpleNamespace(reload_drain_seconds=seconds, drain_timeout_seconds=seconds)
        self.stop.alone.set()
        told: Any = self.stop
        return asyncio.create_task(process.drain(self.server, parts, limits, told))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@asynccontextmanager
async def worker() -> AsyncIterator[Ending]:
    server = PublicServer(Application([("/", Hello)], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    ending = Ending(server, sockets[0].getsockname()[1])
    try:
        yield ending
    finally:
        server.stop()
        await server.close_all_connections()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


@pytest.mark.gen_test(timeout=60)
async def test_a_connection_without_an_answer_so_far_may_still_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_REQUEST_SECONDS", 3600.0)
    async with worker() as ending:
        reader, writer = await ending.connect()
        ending.stop.at_once.set()
        ended = ending.drain(seconds=3600)
        await until(lambda: ending.server.awaits_first_request)
        writer.write(ASK)
        assert b"Connection: close\r\n" in await head_of(reader)
        assert await reader.read() == b"hello"
        assert await ended
        writer.close()


@pytest.mark.gen_test(timeout=60)
async def test_neither_silent_nor_kept_connections_are_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_REQUEST_SECONDS", 0.05)
    async with worker() as ending:
        kept, kept_writer = await ending.connect()
        kept_writer.write(ASK)
        await head_of(kept)
        await kept.readexactly(5)
        silent, silent_writer = await ending.connect()
        ending.stop.at_once.set()
        assert await ending.drain(seconds=3600)
        assert await silent.read() == await kept.read() == b""
        for writer in (kept_writer, silent_writer):
            writer.close()


@pytest.mark.gen_test(timeout=60)
async def test_kept_connections_alone_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_REQUEST_SECONDS", 3600.0)
    async with worker() as ending:
        reader, writer = await ending.connect()
        writer.write(ASK)
        await head_of(reader)
        await reader.readexactly(5)
        ending.stop.at_once.set()
        assert await ending.drain(seconds=3600)
        writer.close()


@pytest.mark.gen_test(timeout=60)
async def test_a_retired_worker_that_is_told_to_stop_keeps_to_the_shorter_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "RETIRED_IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(process, "FIRST_REQUEST_SECONDS", 0.05)
    async with worker() as ending:
        reader, writer = await ending.connect()
        await until(lambda: ending.server.is_connected)
        ended = ending.drain(seconds=3600)
        await asyncio.sleep(0)
        assert not ended.done()
        ending.stop.at_once.set()
        assert await ended
        assert await reader.read() == b""
        writer.close()


@pytest.mark.gen_test(timeout=60)
async def test_the_drain_limit_bounds_the_patience_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_REQUEST_SECONDS", 3600.0)
    async with worker() as ending:
        reader, writer = await ending.connect()
        ending.stop.at_once.set()
        assert await ending.drain(seconds=0.05)
        assert await reader.read() == b""
        writer.close()
