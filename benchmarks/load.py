"""Load generator: sends prepared requests over keep-alive connections, checks every answer, and measures latencies.

It runs in a process of its own (`load_process.py`). This module is the parent's side.
"""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import load_process
from benchmarks.plans import LoadFailed, LoadResult, Plan

JOIN_SECONDS = 10.0


class Load:
    """The parent's side of the load generator's process."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=load_process.serve, args=(theirs,), name="load", daemon=True)
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
        """Connect, send everything, and check everything. Raises LoadFailed."""
        with self.connected(plan) as transfer:
            return transfer.go()

    @contextmanager
    def connected(self, plan: Plan) -> Iterator["Transfer"]:
        """A run whose connections are open before it starts, and stay open until the block ends."""
        self._pipe.send(plan)
        self.receive()
        try:
            yield Transfer(self)
        except LoadFailed:
            raise
        else:
            self.say()

    @contextmanager
    def beside(self, plan: Plan) -> Iterator[list[LoadResult]]:
        """An endless run that continues inside the block. Its result is in the list afterwards. Raises LoadFailed."""
        results: list[LoadResult] = []
        with self.connected(plan) as transfer:
            transfer.start()
            yield results
            results.append(transfer.stop())

    def say(self) -> None:
        """Let the other side continue."""
        self._pipe.send(None)

    def receive(self) -> LoadResult | None:
        """Receive the next message of the other side. Raises LoadFailed."""
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
        """Send everything. Returns after the last byte. Raises LoadFailed."""
        self._load.say()
        return self._result()

    def start(self) -> None:
        """Begin an endless run."""
        self._load.say()

    def stop(self) -> LoadResult:
        """Stop an endless run at once. Raises LoadFailed."""
        self._load.say()
        return self._result()

    def _result(self) -> LoadResult:
        result = self._load.receive()
        assert result is not None
        return result
