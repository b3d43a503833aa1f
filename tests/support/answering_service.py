"""An operator's own service (RBAC server, policy server) over HTTP, in a thread of the test process."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class AnsweringService:
    """The service's answer, and the questions it received. `hang`: accept a question but answer only once
    `released`.
    """

    url: str
    status: int = 200
    body: bytes = b"true"
    content_type: str = "application/json"
    hang: bool = False
    questions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, status: int, body: object, *, content_type: str = "application/json") -> None:
        """Set status and body for the next questions (bytes as they are, anything else as JSON), and forget past
        questions.
        """
        self.status, self.content_type, self.hang = status, content_type, False
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.questions.clear()
        self.headers.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: AnsweringService

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        service = self.service
        service.questions.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        service.headers.append({name.lower(): value for name, value in self.headers.items()})
        if service.hang:
            service.released.wait(30)
            self.close_connection = True
            return
        self.send_response(service.status)
        self.send_header("Content-Type", service.content_type)
        self.send_header("Content-Length", str(len(service.body)))
        self.end_headers()
        self.wfile.write(service.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running_service() -> Iterator[AnsweringService]:
    """A service on a free port of 127.0.0.1 that answers `true`."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    service = AnsweringService(f"http://127.0.0.1:{server.server_address[1]}/ask")
    handler.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
