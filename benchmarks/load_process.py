"""The load generator's process. It uses as little CPU as Python can: raw sockets, and bodies that the kernel drops."""

import hashlib
import select
import signal
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe

from benchmarks.plans import ConnectionPlan, LoadFailed, LoadResult, Plan, percentile

PIECE_BYTES = 1 << 20
PIECES_PER_TURN = 4  # then the other connections get their turn
HEAD_LIMIT_BYTES = 16 << 10
# tcp(7): with MSG_TRUNC the kernel drops the bytes instead of copying them, which halves the cost of a consumer.
DISCARD = socket.MSG_TRUNC
STALL_SECONDS = 30.0


class Consumer:
    """One connection: sends a request, reads its answer, and repeats."""

    def __init__(self, number: int, address: tuple[str, int], plan: ConnectionPlan) -> None:
        self._name = f"connection {number}"
        self._plan = plan
        self._socket = socket.create_connection(address, timeout=STALL_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._sent = 0
        self._sent_at = 0.0
        self._unsent = memoryview(b"")
        self._head = b""
        self._left_bytes: int | None = None
        self._digest: hashlib._Hash | None = None
        self._has_body = False
        self.received_bytes = 0
        self.latencies: list[float] = []
        self.first_bytes: list[float] = []

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    @property
    def wanted_events(self) -> int:
        """The events to wait for."""
        return select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)

    def send(self, now: float, deadline: float | None) -> bool:
        """Begin the next request. False if there is none, or if it is too late."""
        requests = self._plan.requests
        if self._sent == len(requests) or (deadline is not None and now > deadline):
            return False
        self._unsent = memoryview(requests[self._sent])
        self._sent += 1
        self._sent_at = now
        self._has_body = False
        self.write()
        return True

    def write(self) -> None:
        """Write as much of the request as the socket accepts."""
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as exc:
            raise LoadFailed(f"{self._name}: {exc.strerror}") from exc

    def read(self, buffer: memoryview) -> bool:
        """Read what has arrived. True when an answer is complete."""
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
        if not self._has_body and (data or not left_bytes):
            self._has_body = True
            self.first_bytes.append(time.perf_counter() - self._sent_at)
        self.received_bytes += len(data)
        left_bytes -= len(data)
        if left_bytes < 0:
            raise LoadFailed(f"{self._name}: more bytes than announced")
        if self._digest is not None:
            self._digest.update(data)
        if left_bytes:
            self._left_bytes = left_bytes
            return False
        self._left_bytes = None
        if self._digest is not None and self._plan.sha256 and self._digest.hexdigest() != self._plan.sha256:
            raise LoadFailed(f"{self._name}: other bytes than the origin's (sha256)")
        return True


class Run:
    """All connections of one plan."""

    def __init__(self, plan: Plan, pipe: Pipe) -> None:
        self._plan = plan
        self._pipe = pipe
        self._consumers: dict[int, Consumer] = {}
        self._seconds = 0.0

    def connect(self) -> None:
        """Open every connection. Raises OSError."""
        for number, connection in enumerate(self._plan.connections):
            consumer = Consumer(number, (self._plan.host, self._plan.port), connection)
            self._consumers[consumer.fileno()] = consumer

    def close(self) -> None:
        """Close every connection."""
        for consumer in self._consumers.values():
            consumer.close()

    def transfer(self, buffer: memoryview) -> None:
        """Run until every connection has its last answer, or until the parent stops an endless run."""
        poller = select.epoll()
        began = time.perf_counter()
        deadline = None if self._plan.seconds is None else began + self._plan.seconds
        busy = 0
        if self._plan.endless:
            poller.register(self._pipe.fileno(), select.EPOLLIN)
        try:
            for descriptor, consumer in self._consumers.items():
                busy += consumer.send(time.perf_counter(), deadline)
                poller.register(descriptor, consumer.wanted_events)
            while busy or self._plan.endless:
                events = poller.poll(STALL_SECONDS)
                if not events:
                    raise LoadFailed(f"nothing came for {STALL_SECONDS:g} s on {busy} connections")
                for descriptor, event in events:
                    if descriptor == self._pipe.fileno():
                        self._pipe.recv()
                        return
                    busy -= self._serve(poller, descriptor, event, buffer, deadline)
        finally:
            self._seconds = time.perf_counter() - began
            poller.close()

    def _serve(
        self, poller: select.epoll, descriptor: int, event: int, buffer: memoryview, deadline: float | None
    ) -> bool:
        """Serve one connection. True if it has nothing more to do."""
        consumer = self._consumers[descriptor]
        if event & select.EPOLLOUT:
            consumer.write()
            poller.modify(descriptor, consumer.wanted_events)
        if not event & ~select.EPOLLOUT or not consumer.read(buffer):
            return False
        if not consumer.send(time.perf_counter(), deadline):
            poller.unregister(descriptor)
            return True
        if consumer.wanted_events != select.EPOLLIN:
            poller.modify(descriptor, consumer.wanted_events)
        return False

    def result(self) -> LoadResult:
        """Return the result of the run."""
        latencies = _ascending([consumer.latencies for consumer in self._consumers.values()])
        first_bytes = _ascending([consumer.first_bytes for consumer in self._consumers.values()])
        return LoadResult(
            seconds=self._seconds,
            requests=len(latencies),
            body_bytes=sum(consumer.received_bytes for consumer in self._consumers.values()),
            p50_seconds=percentile(latencies, 0.5),
            p99_seconds=percentile(latencies, 0.99),
            first_byte_p50_seconds=percentile(first_bytes, 0.5),
            first_byte_p99_seconds=percentile(first_bytes, 0.99),
            first_byte_min_seconds=first_bytes[0] if first_bytes else 0.0,
        )


def _ascending(parts: Sequence[Sequence[float]]) -> list[float]:
    return sorted(value for part in parts for value in part)


def _measure(pipe: Pipe, plan: Plan, buffer: memoryview) -> None:
    """Do one run: the parent says when it begins, and when the connections may close."""
    run = Run(plan, pipe)
    try:
        run.connect()
        pipe.send(None)
        pipe.recv()
        run.transfer(buffer)
        pipe.send(run.result())
        pipe.recv()
    finally:
        run.close()


def serve(pipe: Pipe) -> None:
    """Serve one run after the other, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
    buffer = memoryview(bytearray(PIECE_BYTES))
    try:
        while True:
            plan: Plan | None = pipe.recv()
            if plan is None:
                continue  # A stop for an endless run that had already failed.
            try:
                _measure(pipe, plan, buffer)
            except LoadFailed as failure:
                pipe.send(failure)
            except OSError as exc:
                pipe.send(LoadFailed(f"connecting: {exc.strerror or exc}"))
    except (EOFError, ConnectionError):
        pass
