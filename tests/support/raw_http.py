"""HTTP by hand: bytes on a socket, replies read with the standard library's parser, nothing automatic."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from provider.testing.http_client import Reply
from tests.support.witness import witness

TIMEOUT_SECONDS = 60.0


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection to the server behind `url`."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_SECONDS) as sock:
        yield sock


def read_reply(sock: socket.socket, method: str = "GET") -> Reply:
    """Read the next reply of a connection that carries one at a time (bytes after it may be lost)."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def exchange(url: str, data: bytes, method: str = "GET") -> Reply:
    """Send exactly `data`; the first reply."""
    with connected(url) as sock:
        sock.sendall(data)
        return read_reply(sock, method)


def get(url: str, target: bytes | str, *headers: str, version: str = "HTTP/1.1", method: str = "GET") -> Reply:
    """Make a request for exactly this target, with no headers but `Host` and those given (`Name: value`)."""
    path = target.encode("latin-1") if isinstance(target, str) else target
    head = b"%s %s %s\r\n" % (method.encode(), path, version.encode())
    lines = "".join(f"{line}\r\n" for line in ("Host: provider.example", *headers))
    return exchange(url, head + lines.encode("latin-1") + b"\r\n", method)


def read_to_end(sock: socket.socket) -> bytes:
    """Everything until the server closes; a reset counts as an end."""
    received = bytearray()
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            break
        if not piece:
            break
        received += piece
    witness.look_at_connection(bytes(received))
    return bytes(received)


def is_closed(sock: socket.socket) -> bool:
    """Tell whether the server has closed this connection; waits up to the socket's timeout."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
