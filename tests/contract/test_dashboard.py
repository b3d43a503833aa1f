"""The dashboard's stream of events over real sockets: its timer, those who read slowly, and those who come late."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from provider.admin.dashboard.feed import Feed
from provider.admin.dashboard.page import Dashboard, dashboard_routes
from provider.admin.listener import AdminApplication
from provider.errors.fault import known_codes

FAST_SECONDS = 0.005
# More than the kernel keeps of a connection on both sides.
PADDING = "x" * (1 << 20)


class Shown:
    """A dashboard on a listener of its own."""

    def __init__(
        self, *, padding: str = "", fails: bool = False, max_listeners: int = 16, record_seconds: float = 3600.0
    ) -> None:
        self.stops = self.taken = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.fails = fails
        self.padding = padding
        self.feed = Feed(
            self._take,
            stopped=self._stopped,
            every_seconds=FAST_SECONDS,
            record_seconds=record_seconds,
            max_listeners=max_listeners,
        )
        dashboard = Dashboard(self.feed, lambda: {"version": "1"}, self._nothing)
        self.server = HTTPServer(AdminApplication(dashboard_routes(dashboard)))
        listener, self.port = bind_unused_port()
        self.server.add_sockets([listener])

    async def _nothing(self) -> None:
        pass

    def _take(self, is_watched: bool) -> tuple[dict[str, float | None], dict[str, object]]:
        if self.fails:
            raise RuntimeError("planned")
        self.taken += 1
        return {"t": float(self.taken - 1)}, {"padding": self.padding} if is_watched else {}

    def _stopped(self) -> None:
        self.stops += 1

    def url(self, path: str = "/dashboard/events") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.setblocking(False)
        await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=own)
        writer.write(b"GET /dashboard/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await writer.drain()
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        self.feed.close()
        self.server.stop()
        await self.server.close_all_connections()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what has no event
            await asyncio.sleep(0.005)


def timers() -> list[asyncio.Task[object]]:
    """The tasks that take pictures."""
    return [task for task in asyncio.all_tasks() if "Feed._run" in repr(task) and not task.done()]


async def picture(reader: asyncio.StreamReader, event: bytes = b"picture") -> dict[str, object]:
    await reader.readuntil(b"event: " + event + b"\n")
    line = await reader.readuntil(b"\n")
    value: dict[str, object] = orjson.loads(line.removeprefix(b"data: "))
    return value


def shown(**settings: object) -> Callable[[Callable[[Shown], Awaitable[None]]], Callable[[], Awaitable[None]]]:
    """The test gets a dashboard that ends with it."""

    def wrap(test: Callable[[Shown], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            one = Shown(**settings)  # type: ignore[arg-type]
            try:
                await test(one)
            finally:
                await one.close()

        run.__name__ = test.__name__
        return pytest.mark.gen_test(timeout=20)(run)

    return wrap


@shown()
async def test_pictures_are_taken_only_while_somebody_looks(one: Shown) -> None:
    one.feed.start()
    assert not one.feed.is_watched
    reader, writer = await one.connect()
    first = await picture(reader)
    assert (first["number"], one.feed.is_watched) == (1, True)
    other_reader, other_writer = await one.connect()
    await picture(other_reader)
    writer.close()
    await picture(other_reader)
    assert one.feed.is_watched
    other_writer.close()
    await until(lambda: not one.feed.is_watched)
    assert one.stops == 1
    one.feed.close()
    await until(lambda: timers() == [])


@shown(record_seconds=FAST_SECONDS)
async def test_a_page_is_told_what_was_recorded_while_nobody_looked(one: Shown) -> None:
    one.feed.start()
    await until(lambda: one.taken >= 3)
    reader, _ = await one.connect()
    hello = await picture(reader, b"hello")
    points = hello["points"]
    assert isinstance(points, list)
    assert points[:3] == [{"t": 0.0}, {"t": 1.0}, {"t": 2.0}]
    # What is told twice, by the second and by the ten seconds, is told once.
    await picture(reader)
    later, _ = await one.connect()
    points = (await picture(later, b"hello"))["points"]
    assert isinstance(points, list)
    assert [point["t"] for point in points] == sorted({point["t"] for point in points})


@shown()
async def test_every_code_has_its_place_on_the_page_of_errors(one: Shown) -> None:
    reply = await AsyncHTTPClient().fetch(one.url("/dashboard/errors"))
    identities = re.findall(r' id="(\w+)"', reply.body.decode())
    assert set(known_codes()) == set(identities)
    assert len(identities) == len(set(identities))


@shown()
async def test_all_who_look_share_one_timer(one: Shown) -> None:
    readers = [await one.connect() for _ in range(3)]
    numbers = [(await picture(reader))["number"] for reader, _ in readers]
    assert numbers == sorted(numbers)
    assert len(timers()) == 1


@shown()
async def test_who_comes_later_is_told_the_past(one: Shown) -> None:
    reader, _ = await one.connect()
    while (await picture(reader))["number"] != 3:
        pass
    later, _ = await one.connect()
    hello = await picture(later, b"hello")
    points = hello["points"]
    assert isinstance(points, list)
    assert points[:3] == [{"t": 0.0}, {"t": 1.0}, {"t": 2.0}]
    assert hello["version"] == "1"


@shown(padding=PADDING)
async def test_page_that_does_not_read_is_dropped_and_holds_no_more_than_a_picture(one: Shown) -> None:
    _, writer = await one.connect()
    await until(lambda: one.feed.is_watched)
    await until(lambda: not one.feed.is_watched)
    writer.close()
    assert one.feed.pictures < 20


@shown(max_listeners=1)
async def test_too_many_pages_are_refused(one: Shown) -> None:
    reader, writer = await one.connect()
    await picture(reader)
    with pytest.raises(HTTPClientError) as refused:
        await AsyncHTTPClient().fetch(one.url())
    assert refused.value.code == 503
    writer.close()


@shown(fails=True)
async def test_failure_of_a_picture_ends_the_streams_and_not_the_listener(one: Shown) -> None:
    reader, writer = await one.connect()
    # The last chunk: browsers come back after it.
    await reader.readuntil(b"\r\n0\r\n\r\n")
    assert timers() == []
    writer.close()
    one.fails = False
    reader, writer = await one.connect()
    assert (await picture(reader))["number"] == 1
    writer.close()


@shown()
async def test_host_of_a_stranger_is_refused_everywhere(one: Shown) -> None:
    for path in ("/", "/dashboard", "/dashboard/", "/dashboard/events", "/dashboard/dashboard.js"):
        request = HTTPRequest(one.url(path), headers={"Host": "rebound.example"}, follow_redirects=False)
        with pytest.raises(HTTPClientError) as refused:
            await AsyncHTTPClient().fetch(request)
        assert refused.value.code == 421
    assert timers() == []


@shown()
async def test_every_answer_forbids_framing_and_reading_by_others(one: Shown) -> None:
    for path in ("/dashboard/", "/dashboard/dashboard.css", "/dashboard/icon.svg"):
        reply = await AsyncHTTPClient().fetch(HTTPRequest(one.url(path), headers={"Origin": "https://a.example"}))
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in reply.headers
