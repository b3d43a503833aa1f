"""Load that does not wait for answers: requests at a fixed rate, whatever happens to earlier ones.

It runs in a process of its own. A request that is due uses a free connection. If none is free it waits, and its time
counts from when it was due. So a slow server cannot slow down its own load.
"""

import multiprocessing
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

from benchmarks.plans import LoadFailed, percentile

HOST = "127.0.0.1"
PIECE_BYTES = 256 << 10
# How long to wait for answers after the last request was sent.
GRACE_SECONDS = 10.0
SERVED, REFUSED = frozenset({200, 206}), frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """What one run offers: `requests` of each connection, used in their order, `rate` a second of all together.

    Latencies are of requests that are due after `settle_seconds`; what is served counts from the beginning.
    """

    port: int
    requests: tuple[tuple[bytes, ...], ...]
    rate: float
    seconds: float
    settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenResult:
    """The result of one run.

    `served`: answers 200 or 206 that came while requests were sent. Times count from when a request was due. Times of
    refusals count from when it was sent, because a busy connection says nothing about a refusal.
    """

    seconds: float
    offered: int
    served: int
    refused: int
    lost: int
    served_p50_seconds: float
    served_p99_seconds: float
    refused_p50_seconds: float
    refused_p99_seconds: float


class _Client:
    """One connection; `due_at` and `sent_at` of the request that it waits for."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=GRACE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.requests = iter(requests)
        self.received = b""
        self.due_at = self.sent_at = 0.0

    def send(self, due_at: float) -> None:
        """Send the next request. Raises LoadFailed if there is none left, or if the connection is closed."""
        request = next(self.requests, None)
        if request is None:
            raise LoadFailed("too few requests were prepared")
        self.due_at, self.sent_at = due_at, time.perf_counter()
        try:
            self.socket.send(request)
        except OSError as exc:
            raise LoadFailed(f"sending: {exc.strerror}") from exc

    def read(self) -> int | None:
        """Return the status of an answer that is complete. Raises LoadFailed if the server closed the connection."""
        piece = self.socket.recv(PIECE_BYTES)
        if not piece:
            raise LoadFailed("closed without an answer")
        self.received += piece
        head, ended, body = self.received.partition(b"\r\n\r\n")
        if not ended:
            return None
        _, _, after = head.lower().partition(b"\r\ncontent-length:")
        if len(body) < int(after.partition(b"\r\n")[0] or 0):
            return None
        self.received = b""
        return int(head[9:12])


class _Run:
    def __init__(self, plan: OpenPlan) -> None:
        self._plan = plan
        self._clients = {}
        for requests in plan.requests:
            client = _Client(plan.port, requests)
            self._clients[client.socket.fileno()] = client
        self._free = deque(self._clients.values())
        self._poller = select.epoll()
        for descriptor in self._clients:
            self._poller.register(descriptor, select.EPOLLIN)
        self._served: list[float] = []
        self._refused: list[float] = []
        self._in_time = 0
        self._answers = 0
        self._refusals = 0
        self._settled_at = 0.0

    def close(self) -> None:
        self._poller.close()
        for client in self._clients.values():
            client.socket.close()

    def go(self) -> OpenResult:
        plan = self._plan
        began = time.perf_counter()
        self._settled_at = began + plan.settle_seconds
        ends, total, offered = began + plan.seconds, int(plan.rate * plan.seconds), 0
        while True:
            now = time.perf_counter()
            due = min(total, int((now - began) * plan.rate) + 1)
            while offered < due and self._free:
                self._free.popleft().send(began + offered / plan.rate)
                offered += 1
            if now >= ends and (len(self._free) == len(self._clients) or now >= ends + GRACE_SECONDS):
                break
            if now >= ends:
                total = offered
            next_at = began + offered / plan.rate
            wait = 0.05 if offered >= total or not self._free else max(0.0, next_at - now)
            for descriptor, _ in self._poller.poll(wait):
                self._take(self._clients[descriptor], ends)
        asked = int(plan.rate * plan.seconds)
        served, refused = sorted(self._served), sorted(self._refused)
        return OpenResult(
            seconds=plan.seconds,
            offered=asked,
            served=self._in_time,
            refused=self._refusals,
            lost=asked - self._answers,
            served_p50_seconds=percentile(served, 0.5),
            served_p99_seconds=percentile(served, 0.99),
            refused_p50_seconds=percentile(refused, 0.5),
            refused_p99_seconds=percentile(refused, 0.99),
        )

    def _take(self, client: _Client, ends: float) -> None:
        status = client.read()
        if status is None:
            return
        now = time.perf_counter()
        settled = client.due_at >= self._settled_at
        self._answers += 1
        if status in SERVED:
            self._in_time += now <= ends
            if settled:
                self._served.append(now - client.due_at)
        elif status in REFUSED:
            self._refusals += 1
            if settled:
                self._refused.append(now - client.sent_at)
        else:
            raise LoadFailed(f"status {status}")
        self._free.append(client)


def _process(pipe: Pipe, plan: OpenPlan) -> None:
    run = None
    try:
        run = _Run(plan)
        pipe.send(run.go())
    except LoadFailed as failure:
        pipe.send(failure)
    except OSError as exc:
        pipe.send(LoadFailed(exc.strerror or str(exc)))
    finally:
        if run is not None:
            run.close()


def offer(plan: OpenPlan) -> OpenResult:
    """Run the plan in a process of its own. Raises LoadFailed."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_process, args=(theirs, plan), daemon=True)
    process.start()
    theirs.close()
    try:
        answer: OpenResult | LoadFailed = pipe.recv()
    except EOFError as exc:
        raise LoadFailed("the load generator has ended") from exc
    finally:
        process.join(1.0)
        if process.is_alive():
            process.kill()
    if isinstance(answer, LoadFailed):
        raise answer
    return answer
