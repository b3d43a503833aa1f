"""Load generator: prepared requests over keep-alive connections, every answer checked, latencies taken.

Runs in a process of its own and costs as little as Python can: raw sockets, and bodies that the kernel throws away.
"""

import hashlib
import math
import multiprocessing
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

HOST = "127.0.0.1"
PIECE_BYTES = 1 << 20
PIECES_PER_TURN = 4  # then the other connections get their turn
HEAD_LIMIT_BYTES = 16 << 10
# tcp(7): with MSG_TRUNC the kernel drops the bytes instead of copying them, which halves what a consumer costs.
DISCARD = socket.MSG_TRUNC
STALL_SECONDS = 30.0
JOIN_SECONDS = 10.0


class LoadFailed(Exception):
    """An answer was not the expected one, or none came."""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """Requests of one connection, sent one after the other, and what every answer must be.

    `sha256` (hex) is compared for the last `verified` bodies; the others are only counted.
    """

    requests: tuple[bytes, ...]
    status: int
    body_bytes: int
    sha256: str
    verified: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run sends, and to which port of this host."""

    port: int
    connections: tuple[ConnectionPlan, ...]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One run. Latency is from sending a request to the last byte of its answer."""

    seconds: float
    requests: int
    body_bytes: int
    p50_seconds: float
    p99_seconds: float


class Load:
    """The parent's handle of the load generator's process."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="load", daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(JOIN_SECONDS)
        if self._process.is_alive():
            self._process.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    def run(self, plan: Plan) -> LoadResult:
        """Connect, send everything, check everything. Raises LoadFailed."""
        with self.connected(plan) as transfer:
            return transfer.go()

    @contextmanager
    def connected(self, plan: Plan) -> Iterator["Transfer"]:
        """A run whose connections are open before it starts and stay open until the block is left."""
        self._pipe.send(plan)
        self.receive()
        try:
            yield Transfer(self)
        except LoadFailed:
            raise
        else:
            self.say()

    def say(self) -> None:
        """Let the other side go on."""
        self._pipe.send(None)

    def receive(self) -> LoadResult | None:
        """Next word of the other side. Raises LoadFailed."""
        try:
            answer: LoadResult | LoadFailed | None = self._pipe.recv()
        except (EOFError, ConnectionError) as exc:
            raise LoadFailed("the load generator has ended") from exc
        if isinstance(answer, LoadFailed):
            raise answer
        return answer


class Transfer:
    """A prepared run."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def go(self) -> LoadResult:
        """Send everything; returns after the last byte. Raises LoadFailed."""
        self._load.say()
        result = self._load.receive()
        assert result is not None
        return result


class _Consumer:
    """One connection: sends a request, reads its answer, and again."""

    def __init__(self, number: int, port: int, plan: ConnectionPlan) -> None:
        self._name = f"connection {number}"
        self._plan = plan
        self._socket = socket.create_connection((HOST, port), timeout=STALL_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._sent = 0
        self._sent_at = 0.0
        self._head = b""
        self._left_bytes: int | None = None
        self._digest: hashlib._Hash | None = None
        self.latencies: list[float] = []

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self) -> bool:
        """Send the next request; False when there is none."""
        requests = self._plan.requests
        if self._sent == len(requests):
            return False
        request = requests[self._sent]
        self._sent += 1
        self._sent_at = time.perf_counter()
        if self._socket.send(request) != len(request):
            raise LoadFailed(f"{self._name}: a request did not fit the socket's buffer")
        return True

    def read(self, buffer: memoryview) -> bool:
        """Take what is there; True when an answer has ended with it."""
        for _ in range(PIECES_PER_TURN):
            try:
                ended = self._read_head(buffer) if self._left_bytes is None else self._read_body(buffer)
            except BlockingIOError:
                return False
            except OSError as exc:
                raise LoadFailed(f"{self._name}: {exc.strerror}") from exc
            if ended:
                self.latencies.append(time.perf_counter() - self._sent_at)
                return True
        return False

    def _read_head(self, buffer: memoryview) -> bool:
        count = self._socket.recv_into(buffer, HEAD_LIMIT_BYTES)
        if not count:
            raise LoadFailed(f"{self._name}: closed without an answer")
        received = self._head + bytes(buffer[:count])
        end = received.find(b"\r\n\r\n")
        if end < 0:
            if len(received) > HEAD_LIMIT_BYTES:
                raise LoadFailed(f"{self._name}: endless head")
            self._head = received
            return False
        self._head = b""
        self._check_head(received[:end], received[end + 4 :])
        is_verified = self._sent > len(self._plan.requests) - self._plan.verified
        self._digest = hashlib.sha256() if is_verified else None
        return self._take(memoryview(received)[end + 4 :], self._plan.body_bytes)

    def _check_head(self, head: bytes, rest: bytes) -> None:
        if int(head[9:12]) != self._plan.status:
            said = rest[:300].decode("utf-8", "replace")
            raise LoadFailed(f"{self._name}: {head[:40]!r} instead of {self._plan.status}: {said}")
        _, _, after = head.lower().partition(b"\r\ncontent-length:")
        length = after.partition(b"\r\n")[0].strip()
        if length != b"%d" % self._plan.body_bytes:
            raise LoadFailed(f"{self._name}: Content-Length {length!r} instead of {self._plan.body_bytes}")

    def _read_body(self, buffer: memoryview) -> bool:
        assert self._left_bytes is not None
        wanted = min(self._left_bytes, PIECE_BYTES)
        if self._digest is None:
            count = self._socket.recv_into(buffer, wanted, DISCARD)
        else:
            count = self._socket.recv_into(buffer, wanted)
        if not count:
            raise LoadFailed(f"{self._name}: cut {self._left_bytes} bytes before the end")
        return self._take(buffer[:count], self._left_bytes)

    def _take(self, data: memoryview, left_bytes: int) -> bool:
        left_bytes -= len(data)
        if left_bytes < 0:
            raise LoadFailed(f"{self._name}: more bytes than announced")
        if self._digest is not None:
            self._digest.update(data)
        if left_bytes:
            self._left_bytes = left_bytes
            return False
        self._left_bytes = None
        if self._digest is not None and self._digest.hexdigest() != self._plan.sha256:
            raise LoadFailed(f"{self._name}: other bytes than the origin's (sha256)")
        return True


def percentile(ascending: Sequence[float], fraction: float) -> float:
    """The smallest value that at least `fraction` of the values do not exceed (nearest rank)."""
    return ascending[max(0, math.ceil(fraction * len(ascending)) - 1)]


def _transfer(consumers: Sequence[_Consumer], buffer: memoryview) -> None:
    """Until every connection has its last answer."""
    poller = select.epoll()
    by_descriptor = {consumer.fileno(): consumer for consumer in consumers}
    busy = 0
    try:
        for descriptor, consumer in by_descriptor.items():
            poller.register(descriptor, select.EPOLLIN)
            busy += consumer.send()
        while busy:
            events = poller.poll(STALL_SECONDS)
            if not events:
                raise LoadFailed(f"nothing came for {STALL_SECONDS:g} s on {busy} connections")
            for descriptor, _ in events:
                consumer = by_descriptor[descriptor]
                if consumer.read(buffer) and not consumer.send():
                    busy -= 1
                    poller.unregister(descriptor)
    finally:
        poller.close()


def _measure(pipe: Pipe, plan: Plan, buffer: memoryview) -> None:
    """One run: the parent says when it begins and when the connections may go."""
    consumers: list[_Consumer] = []
    try:
        for number, connection in enumerate(plan.connections):
            consumers.append(_Consumer(number, plan.port, connection))
        pipe.send(None)
        pipe.recv()
        began = time.perf_counter()
        _transfer(consumers, buffer)
        seconds = time.perf_counter() - began
        latencies = sorted(latency for consumer in consumers for latency in consumer.latencies)
        body_bytes = sum(len(each.requests) * each.body_bytes for each in plan.connections)
        pipe.send(
            LoadResult(seconds, len(latencies), body_bytes, percentile(latencies, 0.5), percentile(latencies, 0.99))
        )
        pipe.recv()
    finally:
        for consumer in consumers:
            consumer.close()


def _serve(pipe: Pipe) -> None:
    """The process: one run after the other, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
    buffer = memoryview(bytearray(PIECE_BYTES))
    try:
        while True:
            plan: Plan = pipe.recv()
            try:
                _measure(pipe, plan, buffer)
            except LoadFailed as failure:
                pipe.send(failure)
            except OSError as exc:
                pipe.send(LoadFailed(f"connecting: {exc.strerror or exc}"))
    except (EOFError, ConnectionError):
        pass
