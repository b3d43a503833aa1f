"""Consumers that read a few KB a second, in a process of their own: thousands of slow lines to one server."""

import contextlib
import multiprocessing
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection

from benchmarks.plans import LoadFailed
from benchmarks.stalling import HEAD_LIMIT_BYTES

# Small, as both ends lie on this host: what the kernel keeps for all sockets together is bounded (tcp_mem).
RECEIVE_BUFFER_BYTES = 8 << 10
PIECE_BYTES = 4096
SEGMENT_BYTES = 1448
# The fastest of them reads so many pieces a second, the slowest one; they are as many of each speed.
MOST_PIECES = 5
# More that come at once would be an overload, which the server is right to refuse.
_COMING = 16
_START_SECONDS = 600.0
_TICKS = 60  # in a second; a multiple of all speeds
_context = multiprocessing.get_context("spawn")


class Drips:
    """Slow consumers of the server at `port`; leaving the block closes all of them."""

    def __init__(self, port: int) -> None:
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(port, theirs), name="drips", daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Drips":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    def come(self, requests: Sequence[bytes]) -> None:
        """Send the requests, one for each consumer, and read their heads. Raises LoadFailed."""
        self._pipe.send(requests)
        self._answer()

    def read_bytes(self) -> int:
        """Bytes that all have read so far. Raises LoadFailed if one of them was cut."""
        self._pipe.send(None)
        return self._answer()

    def _answer(self) -> int:
        try:
            answer = self._pipe.recv()
        except (EOFError, ConnectionError) as exc:
            raise LoadFailed("the slow consumers have ended") from exc
        if isinstance(answer, LoadFailed):
            raise answer
        return answer


def _serve(port: int, pipe: "Connection[int | LoadFailed, Sequence[bytes] | None]") -> None:
    with contextlib.suppress(EOFError):
        requests = pipe.recv()
        assert requests is not None
        try:
            sockets = _all_connected(port, requests)
            pipe.send(len(sockets))
            _drip(sockets, pipe)
        except (LoadFailed, OSError) as failure:
            pipe.send(LoadFailed(f"slow consumers: {failure}"))


def _all_connected(port: int, requests: Sequence[bytes]) -> list[socket.socket]:
    """Connections that have read the head of their answer."""
    waiting, done = deque(requests), list[socket.socket]()
    heads: dict[socket.socket, bytes] = {}
    deadline = time.monotonic() + _START_SECONDS
    with selectors.DefaultSelector() as ready:
        while waiting or heads:
            if time.monotonic() > deadline:
                raise LoadFailed(f"only {len(done)} of {len(requests)} got an answer")
            while waiting and len(heads) < _COMING:
                sock = _asked(port, waiting.popleft())
                heads[sock] = b""
                ready.register(sock, selectors.EVENT_READ)
            for key, _ in ready.select(1.0):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                heads[sock] += sock.recv(1024)
                if b"\r\n\r\n" in heads[sock] or len(heads[sock]) > HEAD_LIMIT_BYTES:
                    _check(heads.pop(sock))
                    ready.unregister(sock)
                    done.append(sock)
    return done


def _asked(port: int, request: bytes) -> socket.socket:
    sock = socket.socket()
    # Segments of Ethernet. For those of loopback, 64 KiB long, the server's kernel keeps 2.6 MB for each connection.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    # Set before the window is offered, as that of a slow line.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request)
    sock.setblocking(False)
    return sock


def _check(head: bytes) -> None:
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
        raise LoadFailed(f"answered {head[:120]!r}")


def _drip(sockets: Sequence[socket.socket], pipe: "Connection[int | LoadFailed, Sequence[bytes] | None]") -> None:
    """Read until the parent goes, at times that are spread evenly."""
    slots: list[list[socket.socket]] = [[] for _ in range(_TICKS)]
    for number, sock in enumerate(sockets):
        pieces = number % MOST_PIECES + 1
        for piece in range(pieces):
            slots[(number + piece * _TICKS // pieces) % _TICKS].append(sock)
    buffer, total = bytearray(PIECE_BYTES), 0
    tick, began = 0, time.monotonic()
    while True:
        for sock in slots[tick % _TICKS]:
            with contextlib.suppress(BlockingIOError):
                count = sock.recv_into(buffer)
                if not count:
                    raise LoadFailed("a stream was cut")
                total += count
        tick += 1
        if pipe.poll(max(0.0, began + tick / _TICKS - time.monotonic())):
            pipe.recv()
            pipe.send(total)
