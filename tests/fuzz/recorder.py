"""The public listener before an application that notes each request and answers with its number."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tornado.iostream import StreamClosedError
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from provider.http1.listener import PublicServer
from tests.fuzz.readings import Reading


@dataclass
class Recorder:
    """Requests in the order in which they were served; those of one case have its number in their path."""

    port: int = 0
    seen: list[Reading] = field(default_factory=list)
    by_client: dict[int, list[Reading]] = field(default_factory=dict)
    """Of each port that a connection came from."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, reading: Reading, client_port: int) -> int:
        """Its number."""
        with self.lock:
            self.seen.append(reading)
            self.by_client.setdefault(client_port, []).append(reading)
            return len(self.seen) - 1


class _Noting(RequestHandler):
    def initialize(self, recorder: Recorder) -> None:
        self.recorder = recorder

    async def _execute(self, transforms: list[object], *_: bytes, **__: bytes) -> None:
        """As in the base class, for every method there could be."""
        self._transforms = transforms
        reading = Reading((self.request.method, self.request.uri), self.request.body)
        number = self.recorder.note(reading, self.request.connection.context.address[1])
        self.set_header("Cache-Control", "no-store")
        with contextlib.suppress(StreamClosedError):
            await self.finish(b"<seen %d>" % number)

    def compute_etag(self) -> None:
        return None


@contextmanager
def recording(*, idle_seconds: float = 5.0) -> Iterator[Recorder]:
    """Serve on a port of 127.0.0.1 from a thread of its own."""
    recorder, started, stopping = Recorder(), threading.Event(), threading.Event()

    async def serve() -> None:
        app = Application([(".*", _Noting, {"recorder": recorder})], log_function=lambda _: None)
        server = PublicServer(app, idle_connection_timeout=idle_seconds, body_timeout=idle_seconds)
        sock, recorder.port = bind_unused_port()
        server.add_socket(sock)
        started.set()
        while not stopping.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.02)
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield recorder
    finally:
        stopping.set()
        thread.join(10)
