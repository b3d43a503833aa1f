"""Copying as Provider 2.1 does it: a thread for each connection, `requests`, pieces of 4096 bytes.

If `requests` is not installed, urllib reads the same pieces.
"""

import contextlib
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

try:
    import requests
    from requests.adapters import HTTPAdapter
except ImportError:
    HAS_REQUESTS = False
else:
    HAS_REQUESTS = True

PIECE_BYTES = 4096
PASSED = ("Content-Length", "Content-Type", "Content-Range")
TIMEOUT_SECONDS = 600.0

Answer = tuple[int, Mapping[str, str], Iterator[bytes]]


class RequestsClient:
    """One session with a kept connection for each thread."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1024))

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Return status, headers and pieces of the body."""
        with self._session.get(url, headers=dict(headers), stream=True, timeout=TIMEOUT_SECONDS) as answer:
            yield answer.status_code, answer.headers, answer.iter_content(PIECE_BYTES)


class UrllibClient:
    """A connection for each request."""

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Return status, headers and pieces of the body."""
        request = urllib.request.Request(url, headers=dict(headers))
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            yield answer.status, answer.headers, iter(lambda: answer.read(PIECE_BYTES), b"")


class Server(ThreadingHTTPServer):
    """Threads that end with the process."""

    daemon_threads = True
    request_queue_size = 4096


def handler(origin: str) -> type[BaseHTTPRequestHandler]:
    """Pass every GET on to `origin`, a base URL."""
    client = RequestsClient() if HAS_REQUESTS else UrllibClient()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            passed = {"Range": self.headers["Range"]} if "Range" in self.headers else {}
            with client.get(origin + self.path, {"Accept-Encoding": "identity", **passed}) as (status, headers, pieces):
                self.send_response(status)
                for name in PASSED:
                    if name in headers:
                        self.send_header(name, headers[name])
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

        def log_message(self, *_: object) -> None:
            """Log nothing: the other proxies write no access log either."""

    return Handler


if __name__ == "__main__":
    port, address = sys.argv[1:]
    threading.stack_size(256 << 10)
    Server(("127.0.0.1", int(port)), handler(address)).serve_forever()
