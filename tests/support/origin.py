"""An HTTP origin that serves, stalls, cuts and lies on request, in a thread of the test process."""

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

FIRST_PAUSE_SECONDS, PAUSE_GROWTH, LONGEST_PAUSE_SECONDS = 0.005, 1.5, 0.05
BLOCK = bytes(range(256)) * 4096
CSV = b"day,price\n2026-11-01,17.5\n2026-11-02,18.25\n"


def pattern(size_bytes: int) -> bytes:
    """The body of `/bytes/<size>`."""
    return (BLOCK * (size_bytes // len(BLOCK) + 1))[:size_bytes]


def pattern_sha256(size_bytes: int) -> str:
    """sha256 of the body of `/bytes/<size>`, hex."""
    digest = hashlib.sha256()
    for _ in range(size_bytes // len(BLOCK)):
        digest.update(BLOCK)
    digest.update(BLOCK[: size_bytes % len(BLOCK)])
    return digest.hexdigest()


@dataclass
class Seen:
    """One request as the origin saw it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Origin:
    """The running origin: the requests it saw, and the number of transfers in progress."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    sent_bytes: int = 0
    active: int = 0
    cut: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def requests(self, path: str) -> list[Seen]:
        """Requests for one path."""
        return [request for request in self.seen if request.path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    origin: Origin

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        request = Seen(
            self.command, parts.path, parse_qs(parts.query), {k.lower(): v for k, v in self.headers.items()}, body
        )
        with self.origin.lock:
            self.origin.seen.append(request)
            self.origin.active += 1
        try:
            name, _, argument = parts.path.strip("/").partition("/")
            getattr(self, f"_do_{name.replace('.', '_')}", self._do_missing)(request, argument)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.origin.lock:
                self.origin.active -= 1

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _do_missing(self, *_: Any) -> None:
        self._send(404, b"nothing at http://internal.example/secret")

    def _do_data_csv(self, *_: Any) -> None:
        self._send(200, CSV, Content_Type="text/csv; charset=utf-8", ETag='"v1"', Set_Cookie="session=planted-cookie")

    def _do_echo(self, request: Seen, _: str) -> None:
        self._send(200, request.body or b"empty", Content_Type="application/octet-stream")

    def _do_status(self, _: Seen, argument: str) -> None:
        self._send(int(argument), b"status body")

    def _do_named(self, *_: Any) -> None:
        self._send(200, CSV, Content_Disposition='attachment; filename="../../etc/pass\\"wd.csv"')

    def _do_redirect(self, *_: Any) -> None:
        self._send(302, b"", Location=f"{self.origin.url}/data.csv")

    def _do_loop(self, *_: Any) -> None:
        self._send(302, b"", Location=f"{self.origin.url}/loop")

    def _do_bytes(self, request: Seen, argument: str) -> None:
        size = int(argument)
        start, end = 0, size - 1
        wanted = request.headers.get("range")
        self.send_response(206 if wanted else 200)
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) if last else end
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self._pump(start, end - start + 1)

    def _pump(self, start: int, count: int) -> None:
        view = memoryview(BLOCK)
        while count:
            offset = start % len(BLOCK)
            sent = self.connection.send(view[offset : offset + min(count, 262144)])
            start, count = start + sent, count - sent
            with self.origin.lock:
                self.origin.sent_bytes += sent

    def _do_gateway(self, request: Seen, argument: str) -> None:
        """Act as an IPFS or Arweave gateway: `/gateway/[ipfs/]<id>`; the id selects the behaviour."""
        content_id = argument.removeprefix("ipfs/").partition("/")[0]
        if "redirect" in content_id:
            # As gateways that give each content an origin of its own.
            self._send(301, b"", Location=f"{self.origin.url}/gateway/ipfs/{content_id.replace('redirect', 'moved')}/")
        elif "missing" in content_id:
            self._do_missing()
        elif "large" in content_id:
            self._do_bytes(request, "400000")
        else:
            self._send(200, CSV, Content_Type="text/csv", ETag='"cid"')

    def _do_limited(self, *_: Any) -> None:
        self._send(429, b"too many", Retry_After="60")

    def _do_graphql(self, request: Seen, _: str) -> None:
        """Return the question as `data`."""
        if request.method != "POST" or request.headers.get("content-type") != "application/json":
            self._send(405, b"")
            return
        body = json.dumps({"data": json.loads(request.body)}).encode()
        self._send(200, body, Content_Type="application/json; charset=utf-8")

    def _do_unsatisfiable(self, *_: Any) -> None:
        self._send(416, b"<html>internal page</html>", Content_Range="bytes */42")

    def _do_chunked(self, _: Seen, argument: str) -> None:
        self._start_chunks()
        for _count in range(int(argument)):
            self._chunk(b"x" * 65536)
        self.wfile.write(b"0\r\n\r\n")

    def _do_flaky(self, request: Seen, argument: str) -> None:
        """`/flaky/<size>/<most>`: like `/bytes/<size>` with a validator, but at most `most` bytes per connection."""
        size, most = map(int, argument.split("/"))
        first, _, last = request.headers.get("range", f"bytes=0-{size - 1}").removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) if last else size - 1
        self.send_response(206 if "range" in request.headers else 200)
        if "range" in request.headers:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self._pump(start, min(most, end - start + 1))
        self._drop()

    def _do_mute(self, request: Seen, argument: str) -> None:
        """Like `/flaky/<size>/<most>`, but never answer a request for the rest."""
        if "range" in request.headers:
            self._wait_for_close()
        else:
            self._do_flaky(request, argument)

    def _do_dies_chunked(self, *_: Any) -> None:
        self._start_chunks()
        self._chunk(b"x" * 100_000)
        self._drop()

    def _do_dies(self, *_: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 100_000)
        self._drop()

    def _do_broken_chunks(self, *_: Any) -> None:
        self._send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")

    def _do_no_gzip(self, *_: Any) -> None:
        self._send_raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")

    def _send_raw(self, answer: bytes) -> None:
        """Send head and body in one piece."""
        self.wfile.write(answer)
        self._drop()

    def _do_stalls(self, *_: Any) -> None:
        """Send some bytes, then nothing until the test or the other side ends it."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 100_000)
        self.wfile.flush()
        self._wait_for_close()

    def _do_silent(self, *_: Any) -> None:
        self._wait_for_close()

    def _start_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _do_cut(self, _: Seen, argument: str) -> None:
        """`/cut/<framing>/<size>/<sent>`: send `sent` of `size` bytes, with chunked or length framing."""
        framing, size, sent = argument.split("/")
        if framing == "chunked":
            self._start_chunks()
            for start in range(0, int(sent), 30_000):
                self._chunk(b"x" * min(30_000, int(sent) - start))
            if sent == size:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_response(200)
            self.send_header("Content-Length", size)
            self.end_headers()
            self.wfile.write(b"x" * int(sent))
        if sent != size:
            self._drop()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _drop(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def _wait_for_close(self) -> None:
        self.connection.settimeout(0.05)
        while not self.origin.cut.is_set():
            try:
                if self.connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running_origin(context: ssl.SSLContext | None = None) -> Iterator[Origin]:
    """An origin on a free port of 127.0.0.1, over TLS when there is a `context`."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    if context is not None:
        # The handshake is the first read's, in the thread of the connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    origin = Origin(f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}")
    handler.origin = origin  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield origin
    finally:
        origin.cut.set()
        server.shutdown()
        server.server_close()


def wait_until(condition: Any, *, seconds: float = 60.0, every_seconds: float | None = None) -> None:
    """Poll until `condition()` is true; fail after the time limit.

    `every_seconds`: the pause. By default it grows, so that to wait for long takes little from what is waited for.
    """
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS if every_seconds is None else every_seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true in time"
        time.sleep(pause)
        if every_seconds is None:
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
