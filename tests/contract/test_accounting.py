"""However a request ends, nothing of it stays counted, and it has one line in the log.

The tables are the routes of a built application and the tree of errors, so that a new endpoint or error is in them.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tornado.netutil import bind_sockets

from provider.app.build import Parts, build
from provider.config.load import load_settings
from provider.errors import ProviderError
from provider.errors.document import error_classes
from provider.handlers import base
from provider.handlers.base import Endpoint
from provider.handlers.downloads.streaming import StreamingEndpoint
from provider.handlers.routes import Route, RouteTable
from provider.http1.listener import PublicServer
from provider.observability.metrics import Metrics
from provider.observability.metrics.values import merge
from provider.streaming.config import StreamConfig
from provider.streaming.limits import StreamLimits
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.wish import Wish, read_wish
from tests.contract.test_routes_described import ENVIRON
from tests.support.http_sources import DATA, get, opener
from tests.support.raw_origin import Exchange, Script, answering, raw_origin

CONSUMER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
STREAMS = 5
PATIENCE_SECONDS = 30
Handle = Callable[[Any], Awaitable[None]]


@dataclass
class Served:
    """The routes of the product, of which `handle` answers what comes."""

    parts: Parts
    metrics: Metrics
    limits: StreamLimits = field(default_factory=lambda: StreamLimits(StreamConfig(max_streams_per_consumer=STREAMS)))
    lines: list[Mapping[str, object]] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    server: PublicServer | None = None
    port: int = 0

    @property
    def routes(self) -> list[Route]:
        return list(self.parts.router.routes)

    def serve(self, handle: Handle, **members: Any) -> None:
        """Put the same `handle`, and what else is named, into every endpoint."""

        def faulty(route: Route) -> Route:
            endpoint = type("Faulty", (route.endpoint,), {"handle": handle, **members})
            return Route(route.method, route.path, endpoint, route.deps)

        self._listen([faulty(route) for route in self.routes])

    def serve_as_they_are(self) -> None:
        """The endpoints of the product."""
        self._listen(self.routes)

    def _listen(self, routes: list[Route]) -> None:
        self.stop()
        table = RouteTable(self.parts.router.application, self.parts.frame, routes, self.parts.admission)
        self.server = PublicServer(table, clients=self.parts.admission.clients, body_timeout=0.3)
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self.server.add_sockets(sockets)

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()

    async def ask(self, route: Route, *headers: str, body: bytes = b"", reads: bool = True) -> bytes:
        """Everything that comes back until the server closes; without `reads` the client leaves at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = (f"{route.method} {route.path} HTTP/1.1", "Host: x", *headers, "Connection: close", "", "")
        writer.write("\r\n".join(lines).encode() + body)
        try:
            if reads:
                return await reader.read()
            await self.waiting.wait()
            return b""
        except ConnectionError:
            return b""
        finally:
            writer.close()

    def counted(self) -> dict[str, float]:
        """What stands for requests that are under way."""
        admission, frame = self.parts.admission, self.parts.frame
        readings = merge([self.metrics.snapshot()])
        gauges = {
            name: sum(cells.values())
            for name, cells in readings.items()
            if name in ("provider_requests_in_progress", "provider_streams_in_progress")
        }
        assert len(gauges) == 2
        return gauges | {
            "at_work": admission.at_work,
            "streams": admission.streams,
            "inspections": admission._all_inspections,
            "in_progress": len(frame.in_progress),
            "bodies": frame.bodies.held_bytes,
            "slots": len(self.limits._slots),
        }

    async def ended(self, requests: int, **facts: object) -> None:
        """Everything counted is back at zero, and there is a line for each request, with these facts."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(self.counted().values()) or len(self.lines) < requests:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert len(self.lines) == requests
        assert len({line["request_id"] for line in self.lines}) == requests
        assert all(facts.items() <= line.items() for line in self.lines), self.lines
        self.lines.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "provider.db"


@asynccontextmanager
async def serving(path: Path, **environ: str) -> AsyncIterator[Served]:
    settings = load_settings({**ENVIRON, "STORAGE_PATH": str(path), "PROVIDER_MAX_STREAMS": str(STREAMS), **environ})
    metrics = Metrics()
    parts = await build(settings, metrics, index_here=False)
    served = Served(parts, metrics)
    parts.frame.access_log.write = served.lines.append
    try:
        yield served
    finally:
        served.stop()
        await parts.close()


def instance(error: type[ProviderError]) -> ProviderError:
    """One of this class, whatever its arguments."""
    parameters = inspect.signature(error).parameters.values()
    needed = [one for one in parameters if one.default is one.empty]
    positional = [one for one in needed if one.kind is one.POSITIONAL_OR_KEYWORD]
    seconds = {one.name: 1.0 for one in needed if one.kind is one.KEYWORD_ONLY}
    return error(*({"a": ["b"]} if "Mapping" in str(one.annotation) else "order" for one in positional), **seconds)


def raising(failure: Callable[[], BaseException]) -> Handle:
    async def handle(_: Endpoint) -> None:
        raise failure()

    return handle


@pytest.mark.gen_test(timeout=120)
async def test_every_error_of_every_endpoint_leaves_nothing_counted(path: Path) -> None:
    assert len(list(error_classes())) > 50
    async with serving(path) as served:
        for error in error_classes():
            served.serve(raising(lambda error=error: instance(error)))
            for route in served.routes:
                reply = await served.ask(route)
                assert int(reply[9:12]) == error.http_status, (route, error)
            await served.ended(len(served.routes))


async def broken_head(endpoint: Endpoint) -> None:
    endpoint.set_header("X-Broken", "x")
    endpoint._headers._as_list["X-Broken"] = ["a\r\nb"]  # type: ignore[attr-defined]
    endpoint.reply_json({})


async def half_a_body(endpoint: Endpoint) -> None:
    endpoint.set_header("Content-Length", "10")
    endpoint.write(b"half")
    await endpoint.flush()
    raise RuntimeError("in the middle")


async def half_a_chunked_body(endpoint: Endpoint) -> None:
    endpoint.write(b"half")
    await endpoint.flush()
    raise RuntimeError("in the middle")


async def too_long(endpoint: Endpoint) -> None:
    endpoint.set_header("Content-Length", "1")
    endpoint.write(b"more than that")
    await endpoint.flush()


async def unwritable(endpoint: Endpoint) -> None:
    endpoint.reply_json({"key": object()})


UNFORESEEN = {
    "a failure": raising(lambda: RuntimeError("unforeseen")),
    "a cancellation of something else": raising(asyncio.CancelledError),
    "a head that cannot be sent": broken_head,
    "half a body": half_a_body,
    "half a chunked body": half_a_chunked_body,
    "a body longer than announced": too_long,
    "a reply that is no JSON": unwritable,
}


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", UNFORESEEN)
async def test_what_nobody_foresaw_leaves_nothing_counted(name: str, path: Path) -> None:
    async with serving(path) as served:
        served.serve(UNFORESEEN[name])
        for route in served.routes:
            reply = await served.ask(route)
            assert b"\r\n0\r\n\r\n" not in reply, "what was cut looks whole"
        await served.ended(len(served.routes))


@pytest.fixture
def log_records() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("provider.access")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


async def answers(endpoint: Endpoint) -> None:
    endpoint.reply_json({})


def fails(_: Endpoint) -> None:
    raise RuntimeError("before it was handled")


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("member", ["prepare", "set_default_headers", "__init__"])
async def test_a_failure_before_the_request_is_handled_leaves_nothing_counted(member: str, path: Path) -> None:
    async with serving(path) as served:
        served.serve(answers, **{member: fails if member != "__init__" else lambda *_: fails(_[0])})
        for route in served.routes:
            await served.ask(route)
        # An endpoint that could not even be made has no line.
        await served.ended(len(served.routes) if member == "prepare" else 0)


@pytest.mark.gen_test(timeout=60)
async def test_a_failure_before_the_request_is_handled_is_logged_with_its_cause(
    path: Path, log_records: list[logging.LogRecord]
) -> None:
    async with serving(path) as served:
        served.serve(answers, prepare=fails)
        for route in served.routes:
            reply = await served.ask(route)
            assert reply.startswith(b"HTTP/1.1 500 ")
            record = log_records.pop()
            assert not log_records
            assert record.exc_info is not None
            assert str(record.exc_info[1]) == "before it was handled"
            (request_id,) = getattr(record, "fields", {}).values()
            assert f"X-Request-Id: {request_id}".lower().encode() in reply.lower()
            await served.ended(1, request_id=request_id)


LENGTH, JSON = "Content-Length: {}", "Content-Type: application/json"
BODIES = {
    "too long, announced": ((LENGTH.format(1 << 40),), b"x" * 100),
    "too long, not announced": (("Transfer-Encoding: chunked",), b"%x\r\n" % (2 << 20) + bytes(2 << 20) + b"\r\n"),
    "broken chunks": (("Transfer-Encoding: chunked",), b"ZZ\r\n"),
    "broken length": ((LENGTH.format("abc"),), b"abc"),
    "too slow": ((LENGTH.format(100),), b"a"),
    "waits for leave": ((LENGTH.format(1 << 40), "Expect: 100-continue"), b""),
    "broken JSON": ((LENGTH.format(3), JSON), b"{{{"),
    "too many values": ((LENGTH.format(20_000), JSON), b"[" * 20_000),
    "no object": ((LENGTH.format(2), JSON), b"[]"),
}


async def reads_its_body(endpoint: Endpoint) -> None:
    endpoint.arguments()
    endpoint.reply_json({})


@pytest.mark.gen_test(timeout=90)
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_cannot_be_taken_leaves_nothing_counted(name: str, path: Path) -> None:
    headers, body = BODIES[name]
    async with serving(path, PROVIDER_MAX_BODY_BYTES=str(1 << 20)) as served:
        served.serve(reads_its_body)
        for first in range(0, len(served.routes), STREAMS):
            routes = served.routes[first : first + STREAMS]
            await asyncio.gather(*(served.ask(route, *headers, body=body) for route in routes))
            await served.ended(len(routes))


@pytest.mark.gen_test(timeout=60)
async def test_a_client_that_leaves_in_its_body_leaves_nothing_counted(path: Path) -> None:
    async with serving(path) as served:
        served.serve(answers)
        served.waiting.set()
        for route in served.routes:
            await served.ask(route, LENGTH.format(100), body=b"a", reads=False)
        await served.ended(len(served.routes))


@pytest.mark.gen_test(timeout=60)
async def test_a_client_that_leaves_before_its_answer_leaves_nothing_counted(path: Path) -> None:
    async with serving(path) as served:

        async def never(_: Endpoint) -> None:
            served.waiting.set()
            await asyncio.Event().wait()

        served.serve(never)
        for route in served.routes:
            served.waiting.clear()
            await served.ask(route, reads=False)
            await served.ended(1, status=499)


@pytest.mark.gen_test(timeout=60)
async def test_a_request_that_the_server_cuts_leaves_nothing_counted(path: Path) -> None:
    async with serving(path) as served:

        async def never(_: Endpoint) -> None:
            served.waiting.set()
            await asyncio.Event().wait()

        served.serve(never)
        for route in served.routes:
            served.waiting.clear()
            asking = asyncio.create_task(served.ask(route))
            await served.waiting.wait()
            (endpoint,) = served.parts.frame.in_progress
            endpoint.cut()
            assert await asking == b""
            await served.ended(1, status=499, outcome="cut")


@pytest.mark.gen_test(timeout=60)
async def test_a_refusal_at_the_door_leaves_nothing_counted(path: Path) -> None:
    limits = dict.fromkeys(("GUARDED", "PAID", "CHEAP"), "1")
    environ = {f"PROVIDER_{name}_REQUESTS_PER_SECOND": one for name, one in limits.items()}
    environ |= {f"PROVIDER_{name}_BURST": one for name, one in limits.items()}
    async with serving(path, PROVIDER_LIMIT_PRIVATE_CLIENTS="true", **environ) as served:
        served.serve(answers)
        asked = served.routes * 2
        replies = [await served.ask(route, LENGTH.format(1), body=b"a") for route in asked]
        assert sum(reply.startswith(b"HTTP/1.1 429 ") for reply in replies) >= len(served.routes)
        await served.ended(len(asked))


async def cut_after_the_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + DATA)


async def reset(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    exchange.reset()


# Both its errors come with the head of the answer, so before a byte has left.
BROKEN_AT_ONCE = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
}
ORIGINS: dict[str, Script] = {
    **{f"{name} broken at its first byte": answering(answer) for name, answer in BROKEN_AT_ONCE.items()},
    "cut": cut_after_the_head,
    "reset": reset,
    "whole": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    "whole, in chunks": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "refused": answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    "range refused": answering(b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n"),
    "a part": answering(b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nok"),
    "no head": answering(b"nonsense\r\n\r\n"),
    "nothing": answering(b""),
}


def streams_from(served: Served, origin: HttpOrigin, url: str) -> Handle:
    async def handle(endpoint: StreamingEndpoint) -> None:
        with served.limits.admitted(CONSUMER) as slot:
            # As a download asks: the range that the consumer names, of the origin too.
            asked = read_wish(endpoint.request.headers)

            def ask(wish: Wish) -> Awaitable[HttpSource]:
                return origin.open(replace(get(url), headers=wish.fields))

            source, answer = await endpoint.opened(ask, asked, "url")
            await endpoint.stream(
                source,
                answer,
                slot,
                name="name",
                reopen=lambda _: origin.open(get(url)),
                service_type="access",
                file_type="url",
            )

    return handle


def streaming_routes(served: Served) -> list[Route]:
    routes = [
        route for route in served.routes if issubclass(route.endpoint, StreamingEndpoint) and route.method == "GET"
    ]
    assert {route.endpoint.endpoint for route in routes} == {"download", "link", "computeResult"}
    return routes


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", ORIGINS)
async def test_every_end_of_a_stream_leaves_nothing_counted(name: str, path: Path) -> None:
    async with (
        serving(path, PROVIDER_MAX_RESUMES="0") as served,
        opener() as origin,
        raw_origin(ORIGINS[name]) as far,
    ):
        served.serve(streams_from(served, origin, f"{far.url}/file"))
        routes = streaming_routes(served)
        # More than may be under way at once: the server is full for good if one stays counted.
        for _ in range(STREAMS + 1):
            for route in routes:
                reply = await served.ask(route, "Range: bytes=0-1")
                assert not reply.startswith(b"HTTP/1.1 503 "), reply
        await served.ended(len(routes) * (STREAMS + 1))


@pytest.mark.gen_test(timeout=60)
async def test_consumers_that_leave_their_stream_leave_nothing_counted(path: Path) -> None:
    async def never_ends(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + DATA)
        await exchange.gone()

    async with serving(path) as served, opener() as origin, raw_origin(never_ends) as far:
        served.serve(streams_from(served, origin, f"{far.url}/file"))
        routes = streaming_routes(served)
        served.waiting.set()
        for route in routes * STREAMS:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(f"GET {route.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await served.ended(1, outcome="consumer_gone")


@pytest.mark.gen_test(timeout=60)
async def test_a_client_that_takes_nothing_of_a_long_answer_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.2)
    size = 64 << 20

    async def long_answer(endpoint: Endpoint) -> None:
        await endpoint.reply_text((bytes(base.PIECE_BYTES) for _ in range(1024)), length_bytes=size, status=200)

    async with serving(path) as served:
        served.serve(long_answer)
        route = served.routes[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1000)
        writer.write(f"{route.method} {route.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await served.ended(1, outcome="consumer_stalled")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()
        reply = await served.ask(route)
        assert len(reply.partition(b"\r\n\r\n")[2]) == size
        await served.ended(1, outcome="ok")
