"""A Tornado server that relays from a raw origin as the download handler does, and consumers of it."""

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from tornado.netutil import bind_sockets
from tornado.web import Application

from provider.http1.handler import HttpHandler
from provider.http1.listener import PublicServer
from provider.http1.sink import TornadoSink
from provider.streaming.headers import reply_headers
from provider.streaming.pipes import PipePool
from provider.streaming.progress import Progress
from provider.streaming.relay import Relayed, StreamEngine
from provider.upstream.answer import Part, Parts, Whole, answer_of
from provider.upstream.config import UpstreamConfig
from provider.upstream.disk import Disk
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.resume import for_rest
from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import read_wish
from tests.support.raw_origin import RawOrigin, Script, raw_origin

DATA = bytes(range(256)) * 4096
WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"


class Opener(Protocol):
    """Opens the source that the proxy relays."""

    async def open(self, request: HttpRequest) -> Source: ...

    def close(self) -> None: ...


@dataclass
class Proxy:
    """The relaying server and what it recorded."""

    origin: RawOrigin
    port: int = 0
    opener: Opener | None = None
    pipes: PipePool = field(default_factory=PipePool)
    disk: Disk = field(default_factory=Disk)
    max_resumes: int = 0
    relayed: list[Relayed] = field(default_factory=list)
    logged: list[int] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def outcome(self) -> Relayed:
        """The first recorded end of a relay."""
        async with asyncio.timeout(60):
            await self.ended.wait()
        return self.relayed[0]


class RelayHandler(HttpHandler):
    """Opens the origin and relays, as the download handler does."""

    def initialize(self, proxy: Proxy, idle_timeout_seconds: float) -> None:
        self.proxy, self.idle_timeout_seconds = proxy, idle_timeout_seconds
        self.sink: TornadoSink | None = None

    async def get(self) -> None:
        opener = self.proxy.opener
        assert opener is not None
        wish = read_wish(self.request.headers)
        asked = HttpRequest("GET", self.proxy.origin.url + self.request.uri, wish.range_fields)
        source = await opener.open(asked)
        self.sink = TornadoSink(self)
        progress = Progress()
        self.proxy.progress.append(progress)
        answer = answer_of(wish, source)
        assert isinstance(answer, Whole | Part | Parts), answer
        fields = reply_headers(source.headers, answer, name="data.csv")
        engine = StreamEngine(
            self.idle_timeout_seconds, self.proxy.max_resumes, pipes=self.proxy.pipes, disk=self.proxy.disk
        )
        relayed = await engine.relay(
            source,
            self.sink,
            fields,
            status=answer.status,
            progress=progress,
            reopen=lambda rest: opener.open(for_rest(asked, rest)),
        )
        self.proxy.relayed.append(relayed)
        self.proxy.ended.set()

    def on_connection_close(self) -> None:
        self.proxy.left.set()
        if self.sink is not None:
            self.sink.consumer_gone()


@asynccontextmanager
async def proxied(
    script: Script,
    *,
    idle_timeout_seconds: float = 60,
    origin_idle_seconds: float = 60,
    pipes: PipePool | None = None,
    max_resumes: int = 0,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
) -> AsyncIterator[Proxy]:
    """Run the proxy. `contexts`: TLS contexts for the origin and for the relay."""
    serving, trusting = contexts or (None, None)
    async with raw_origin(script, context=serving) as origin:
        proxy = Proxy(origin, pipes=PipePool() if pipes is None else pipes, max_resumes=max_resumes)
        proxy.opener = HttpOrigin(
            UpstreamConfig(allow_non_public_ip=True, idle_timeout_seconds=origin_idle_seconds), tls_context=trusting
        )
        async with relaying(proxy, idle_timeout_seconds=idle_timeout_seconds):
            yield proxy


@asynccontextmanager
async def relaying(
    proxy: Proxy, *, idle_timeout_seconds: float, context: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Run the server of `proxy`. `context`: of TLS for consumers."""
    needs = {"proxy": proxy, "idle_timeout_seconds": idle_timeout_seconds}
    app = Application(
        [("/.*", RelayHandler, needs)], log_function=lambda handler: proxy.logged.append(handler.get_status())
    )
    server = PublicServer(app, ssl_options=context)
    sockets = bind_sockets(0, "127.0.0.1")
    proxy.port = sockets[0].getsockname()[1]
    server.add_sockets(sockets)
    try:
        yield
    finally:
        server.stop()
        await server.close_all_connections()
        assert proxy.opener is not None
        proxy.opener.close()
        proxy.pipes.close()


@asynccontextmanager
async def consumer(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1 << 22)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def in_thread(proxy: Proxy, call: Callable[[http.client.HTTPConnection], object]) -> asyncio.Future:
    """Use the standard library's client as an independent reader of what we send."""

    def run() -> object:
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        try:
            return call(client)
        finally:
            client.close()

    return asyncio.get_running_loop().run_in_executor(None, run)


def download(client: http.client.HTTPConnection, **headers: str) -> tuple[int, dict[str, str], bytes]:
    client.request("GET", "/x", headers=headers)
    reply = client.getresponse()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


def chunks(data: bytes, size: int = 10_000) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
