"""The demo's origin server: `/data.csv`, `/pattern/<bytes>.bin` and the programs of the compute demo, over HTTP/1.1.

`/archive/…` is a bucket of S3, if the origin has a key for it.

Deliberately cheap (sendfile from memory, no copy in this process), so that it never limits a measurement. GET and HEAD,
single byte ranges, ETag, If-Range, keep-alive. `/stats` reports how many requests it saw.
"""

import asyncio
import json
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import uvloop

from provider.testing import pattern
from provider.testing.bucket import is_signed, read_key
from provider.testing.child import announce, child_parser, until_stopped

HEAD_LIMIT_BYTES = 64 * 1024
TURN_BYTES = 4 << 20  # most that one connection may send before others get a turn
RETRY_ERRORS = (BlockingIOError, InterruptedError)
REASONS = {
    200: "OK",
    206: "Partial Content",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    416: "Range Not Satisfiable",
}
BUCKET = "archive"
IN_BUCKET = "exports/data.csv"


class Content(Protocol):
    """Bytes that can be sent from any position."""

    @property
    def size_bytes(self) -> int:
        """Total length."""

    @property
    def media_type(self) -> str:
        """Value of Content-Type."""

    @property
    def etag(self) -> str:
        """Strong validator, quoted."""

    def send(self, sock: socket.socket, position: int, end: int) -> int:
        """Send bytes from `position`, at most up to `end`, without blocking. Returns how many were sent."""


@dataclass(frozen=True, slots=True)
class Text:
    """A small body kept in memory."""

    body: bytes
    media_type: str = "text/csv; charset=utf-8"
    etag: str = '"csv-1"'

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return len(self.body)

    def send(self, sock: socket.socket, position: int, end: int) -> int:
        """Send from the bytes."""
        return sock.send(memoryview(self.body)[position:end])


@dataclass(frozen=True, slots=True)
class Pattern:
    """The generated file of `pattern.py`, cut at a size."""

    size_bytes: int
    media_type: str = "application/octet-stream"

    @property
    def etag(self) -> str:
        """Strong validator: the size says it all."""
        return f'"pattern-{self.size_bytes}"'

    def send(self, sock: socket.socket, position: int, end: int) -> int:
        """Send from the base, by sendfile where the kernel has memfd."""
        offset, count = pattern.locate(position, end)
        descriptor = _memory_file()
        if descriptor is None:
            return sock.send(memoryview(pattern.base())[offset : offset + count])
        return os.sendfile(sock.fileno(), descriptor, offset, count)


@cache
def _memory_file() -> int | None:
    if not hasattr(os, "memfd_create"):
        return None
    descriptor = os.memfd_create("pattern")
    os.truncate(descriptor, len(pattern.base()))
    os.pwrite(descriptor, pattern.base(), 0)
    return descriptor


def small_csv() -> bytes:
    """The small dataset: 200 lines, the same everywhere."""
    lines = ("station,day,temperature_c", *(f"S{i % 7},{i},{(i * 37 % 400) / 10 - 5:.1f}" for i in range(200)))
    return ("\n".join(lines) + "\n").encode()


def programs() -> dict[str, Text]:
    """Return, by path, the compute demo's algorithm, and one that copies its input, so no publisher would trust it."""
    algorithm = Path(__file__).with_name("algorithm.py").read_bytes()
    copier = b"import shutil\n\nshutil.copytree('/data/inputs', '/data/outputs', dirs_exist_ok=True)\n"
    return {
        path: Text(body, "text/x-python; charset=utf-8", f'"{path}-1"')
        for path, body in (("/algorithm.py", algorithm), ("/copier.py", copier))
    }


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Parse a single byte range (RFC 9110 section 14.1.2) into start and end (exclusive); None if it is to be ignored.

    An unsatisfiable range is empty: start equals end.
    """
    match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", (header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    start, end = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
    if last and int(last) < start:
        return None
    return (start, end) if start < size_bytes else (0, 0)


class Origin:
    """The listening socket and the request count. `bucket_key`: file with the key of the bucket."""

    def __init__(self, port: int, bucket_key: Path | None = None) -> None:
        self.requests = 0
        self.connections = 0
        self._bucket_key = bucket_key
        csv = Text(small_csv())
        self._texts = {"/data.csv": csv, f"/{BUCKET}/{IN_BUCKET}": csv, **programs()}
        self._socket = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._socket.setblocking(False)

    @property
    def url(self) -> str:
        """Base URL, without trailing slash."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Accept connections on the loop."""
        loop.add_reader(self._socket.fileno(), self._accept, loop)

    def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Connection(self, sock, loop)

    def allows(self, method: str, path: str, headers: dict[str, str]) -> bool:
        """Tell whether a request may have what is at its path: the bucket needs a signature."""
        if not path.startswith(f"/{BUCKET}/"):
            return True
        key = self._bucket_key
        return key is not None and is_signed(read_key(key), method, path, headers, now=datetime.now(UTC))

    def find(self, path: str) -> Content | None:
        """Return the content at a path."""
        if path in self._texts:
            return self._texts[path]
        if path == "/stats":
            seen = {"requests": self.requests, "connections": self.connections}
            return Text(json.dumps(seen).encode(), "application/json", '"stats"')
        match = re.fullmatch(r"/pattern/([0-9]{1,15})\.bin", path)
        return Pattern(int(match[1])) if match else None


class Connection:
    """One consumer's connection: reads a request head, sends the answer, and repeats."""

    def __init__(self, origin: Origin, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._origin = origin
        self._socket = sock
        self._loop = loop
        self._received = b""
        self._content: Content | None = None
        self._position = self._end = 0
        self._keep_alive = True
        origin.connections += 1
        loop.add_reader(sock.fileno(), self._read)

    def _close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._origin.connections -= 1

    def _read(self) -> None:
        try:
            data = self._socket.recv(HEAD_LIMIT_BYTES)
        except RETRY_ERRORS:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > HEAD_LIMIT_BYTES:
            self._close()
        else:
            self._next_request()

    def _next_request(self) -> None:
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        self._received = rest
        request_line, _, fields = head.decode("latin-1").partition("\r\n")
        method, _, target = request_line.partition(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in fields.split("\r\n"))
        }
        self._keep_alive = headers.get("connection", "").lower() != "close" and target.endswith("HTTP/1.1")
        path = target.partition(" ")[0].partition("?")[0]
        if path != "/stats":
            self._origin.requests += 1
        reply = self._prepare(method, path, headers)
        self._loop.remove_reader(self._socket.fileno())
        try:
            self._socket.send(reply, 0 if self._content is None else getattr(socket, "MSG_MORE", 0))
        except OSError:
            self._close()
        else:
            self._write()

    def _prepare(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        self._content, self._position, self._end = None, 0, 0
        if not self._origin.allows(method, path, headers):
            return self._head(403, 0, [])
        content = self._origin.find(path)
        if content is None or method not in ("GET", "HEAD"):
            return self._head(404 if content is None else 405, 0, [])
        fields = [
            f"Content-Type: {content.media_type}",
            f"ETag: {content.etag}",
            "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
            "Accept-Ranges: bytes",
        ]
        status, start, end = 200, 0, content.size_bytes
        wanted = parse_range(headers.get("range"), content.size_bytes)
        if wanted is not None and headers.get("if-range", content.etag) == content.etag:
            start, end = wanted
            if start == end:
                return self._head(416, 0, [f"Content-Range: bytes */{content.size_bytes}"])
            status = 206
            fields.append(f"Content-Range: bytes {start}-{end - 1}/{content.size_bytes}")
        if method == "GET" and end > start:
            self._content, self._position, self._end = content, start, end
        return self._head(status, end - start, fields)

    def _head(self, status: int, length: int, fields: list[str]) -> bytes:
        connection = "keep-alive" if self._keep_alive else "close"
        common = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Length: {length}", f"Connection: {connection}"]
        return ("\r\n".join([*common, *fields]) + "\r\n\r\n").encode("latin-1")

    def _write(self) -> None:
        turn_end = self._position + TURN_BYTES
        try:
            while self._content is not None and self._position < min(self._end, turn_end):
                self._position += self._content.send(self._socket, self._position, self._end)
        except RETRY_ERRORS:
            pass
        except OSError:
            self._close()
            return
        if self._position < self._end:
            self._loop.add_writer(self._socket.fileno(), self._write)
        elif self._keep_alive:
            self._loop.remove_writer(self._socket.fileno())
            self._loop.add_reader(self._socket.fileno(), self._read)
            self._next_request()
        else:
            self._close()


async def serve(port: int, *, bucket_key: Path | None, watch_stdin: bool) -> None:
    """Serve on 127.0.0.1 until stopped; 0 takes a free port."""
    origin = Origin(port, bucket_key)
    origin.start(asyncio.get_running_loop())
    announce({"url": origin.url})
    await until_stopped(watch_stdin=watch_stdin)


def main() -> None:
    """Entry point of `python -m provider.testing.origin`."""
    parser = child_parser("Origin server of the Provider demo.")
    parser.add_argument("--bucket-key", type=Path, help="file with id and secret of the key that opens the bucket")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.port, bucket_key=given.bucket_key, watch_stdin=given.watch_stdin))


if __name__ == "__main__":
    main()
