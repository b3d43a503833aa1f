"""An origin of data files as an object store is one: ranges, strong tags, conditions; it counts what it is asked."""

import hashlib
import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a file. `range`: the field as it came."""

    method: str
    range: str | None


@dataclass
class DataFile:
    """A file and who asked for it.

    Attributes:
        versions: its bodies. The first is served until `next_at` requests have come, then the second.
        hold_after: bytes after which each answer waits until `released` is set.
        release_at: number of requests that sets it.
    """

    versions: list[bytes]
    next_at: int | None = None
    hold_after: int | None = None
    release_at: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, body: bytes, *, at: int = 0) -> None:
        """Become `body` from the next request on, or after `at` more."""
        with self.lock:
            self.versions.append(body)
            self.next_at = len(self.asked) + at

    def take(self, asked: Asked) -> bytes:
        """The body that a request is answered with."""
        with self.lock:
            if self.next_at is not None and len(self.asked) >= self.next_at:
                del self.versions[0]
                self.next_at = None
            self.asked.append(asked)
            if len(self.asked) == self.release_at:
                self.released.set()
            return self.versions[0]

    def forget(self) -> None:
        """Begin to count anew."""
        with self.lock:
            self.asked.clear()
            self.sent_bytes = 0

    @property
    def ranges(self) -> list[str | None]:
        """The range of each request so far."""
        return [asked.range for asked in self.asked]


@dataclass
class DataOrigin:
    """The running origin."""

    url: str
    files: dict[str, DataFile] = field(default_factory=dict)

    def put(self, name: str, body: bytes) -> DataFile:
        """Offer a file at `{url}/{name}`."""
        self.files[name] = DataFile([body])
        return self.files[name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    origin: DataOrigin

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        name = self.path.lstrip("/")
        file = self.origin.files.get(name)
        if file is None:
            self.send_error(404)
            return
        body = file.take(Asked(self.command, self.headers.get("Range")))
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        first, last = 0, len(body) - 1
        status = 200
        wanted = self.headers.get("If-Match")
        if wanted is not None and etag not in wanted:
            status = 412
        elif etag in self.headers.get("If-None-Match", ""):
            status = 304
        elif self.headers.get("If-Range", etag) == etag and (part := _part(self.headers.get("Range"), len(body))):
            status, (first, last) = 206, part
            if first > last:
                status = 416
        sends = status in (200, 206)
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", formatdate(1_790_000_000, usegmt=True))
        if sends:
            self.send_header("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        elif status == 416:
            self.send_header("Content-Range", f"bytes */{len(body)}")
        self.send_header("Content-Length", str(last - first + 1 if sends else 0))
        self.end_headers()
        if sends and self.command == "GET":
            self._send(file, body, first, last + 1)

    def _send(self, file: DataFile, body: bytes, start: int, end: int) -> None:
        view, first = memoryview(body), start
        while start < end:
            stop = min(end, start + PIECE_BYTES)
            if file.hold_after is not None and start - first >= file.hold_after:
                file.released.wait()
            try:
                self.wfile.write(view[start:stop])
            except OSError:
                self.close_connection = True
                return
            with file.lock:
                file.sent_bytes += stop - start
            start = stop


def _part(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range; None where there is none. An empty part cannot be had."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    if int(first) >= size:
        return size, size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running_data_origin() -> Iterator[DataOrigin]:
    """An origin without files, on a free port of 127.0.0.1."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    origin = DataOrigin(f"http://127.0.0.1:{server.server_address[1]}")
    handler.origin = origin  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield origin
    finally:
        for file in origin.files.values():
            file.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
