"""The durable queue of proofs: one thread owns the file, so that no stream and no event loop waits for the disk.

Any number of processes may add; one of them sends (`SendingRight`).
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provider.errors import StoreError
from provider.observability.metrics.groups import Proofs
from provider.proofs import sql
from provider.proofs.budget import Budget
from provider.proofs.proof import Proof
from provider.proofs.sql import Entry
from provider.proofs.transaction import SignedTransaction
from provider.sqlite import SqliteThread, prove_writable

# Waiting for the disk, in memory; a proof is about 1 KiB.
MAX_UNWRITTEN = 10_000
# Ended proofs stay readable for the operator this long.
KEPT_SECONDS = 7 * 86_400.0

_log = logging.getLogger(__name__)


def proofs_path(storage_path: str | Path) -> Path:
    """Where the queue stands: beside the nonce store's file."""
    return Path(f"{storage_path}.proofs")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of proofs that were added; `refused`: there was no room, or the file failed."""

    queued: int
    beyond_budget: int
    refused: int


class ProofStore:
    """The queue's file at `path`, created when absent; its directory must exist. It holds proofs of one `kind`.

    Opened at the first use and again after a failure. At most `max_queued` proofs are kept that have not ended, and
    proofs beyond `budget` are skipped.
    Coroutines raise StoreError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        kind: str,
        max_queued: int,
        metrics: Proofs,
        budget: Budget | None = None,
        busy_timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        connect = partial(sql.open_queue, Path(path), busy_timeout_seconds=busy_timeout_seconds)
        self._file = SqliteThread(Path(path), connect, name="proofs")
        self._kind = kind
        self._max_queued = max_queued
        self._metrics = metrics
        self._budget = budget
        self._clock = clock
        self._unwritten: list[Proof] = []
        self._lock = threading.Lock()

    def add(self, proof: Proof, written: Callable[[], None]) -> None:
        """Queue a proof; returns at once. `written` is called in this loop's turn after it is durable.

        What cannot be queued is logged and counted `lost`. Proofs that come while the disk is busy share one sync.
        """
        if self._file.is_closed or len(self._unwritten) >= MAX_UNWRITTEN:
            self._lose(self._kind, 1, "the queue is closed" if self._file.is_closed else "the disk is too slow")
            return
        with self._lock:
            self._unwritten.append(proof)
            is_first = len(self._unwritten) == 1
        if is_first:
            writing = self._file.run(self._write)
            writing.add_done_callback(partial(self._written, written))

    def _written(self, written: Callable[[], None], writing: "asyncio.Future[Written]") -> None:
        try:
            outcome = writing.result()
        except asyncio.CancelledError:
            return
        if outcome.queued:
            self._metrics.outcomes.add(self._kind, "queued", by=outcome.queued)
        if outcome.beyond_budget:
            reason = "the order, its consumer in this period, or the day has its proofs"
            _log.info(
                "no proof", extra={"facts": {"kind": self._kind, "count": outcome.beyond_budget, "reason": reason}}
            )
            self._metrics.outcomes.add(self._kind, "skipped", by=outcome.beyond_budget)
        if outcome.refused:
            self._lose(self._kind, outcome.refused, "the queue is full or its file fails")
        if outcome.queued:
            written()

    def skip(self, proof: Proof, reason: str) -> None:
        """Count and log a download that cannot be proven."""
        _log.info("no proof", extra={"facts": {"kind": self._kind, "chain_id": proof.chain_id, "reason": reason}})
        self._metrics.outcomes.add(self._kind, "skipped")

    def _lose(self, kind: str, count: int, reason: str) -> None:
        _log.error("proofs lost", extra={"facts": {"kind": kind, "count": count, "reason": reason}})
        self._metrics.outcomes.add(kind, "lost", by=count)

    async def open(self) -> None:
        """Open the file."""
        await self._file.ask(sql.count_open)

    async def check(self) -> None:
        """Prove with a durable write that the file works."""
        await self._file.ask(prove_writable)

    async def due(self, state: str, *, chain_id: int | None, limit: int) -> list[Entry]:
        """See `sql.due`, for now."""
        now = self._clock()
        return await self._file.ask(lambda c: sql.due(c, self._kind, state, chain_id=chain_id, now=now, limit=limit))

    async def held_nonces(self, chain_id: int) -> frozenset[int]:
        """See `sql.held_nonces`."""
        return await self._file.ask(lambda c: sql.held_nonces(c, chain_id))

    async def record_signed(
        self, entry: Entry, account_nonce: int, signed: SignedTransaction, *, due_in_seconds: float
    ) -> None:
        """See `sql.record_signed`."""
        now = self._clock()
        due_at = now + due_in_seconds
        await self._file.ask(lambda c: sql.record_signed(c, entry, account_nonce, signed, now=now, due_at=due_at))

    async def release(self, entry: Entry, *, due_in_seconds: float) -> None:
        """See `sql.release`."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.release(c, entry, due_at))

    async def retry(self, entry: Entry, *, due_in_seconds: float) -> None:
        """See `sql.retry`."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.retry(c, entry, due_at))

    async def defer(self, entries: list[Entry], *, due_in_seconds: float) -> None:
        """See `sql.defer`."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.defer(c, entries, due_at))

    async def seen(
        self, entry: Entry, *, mined_block: int | None = None, misses: int = 0, due_in_seconds: float
    ) -> None:
        """See `sql.seen`."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.seen(c, entry, mined_block, misses, due_at))

    async def confirm(self, entry: Entry) -> None:
        """The proof arrived."""
        now = self._clock()
        await self._file.ask(lambda c: sql.end(c, entry, "confirmed", "", now))
        self._metrics.outcomes.add(self._kind, "confirmed")

    async def give_up(self, entry: Entry, reason: str, *, outcome: str = "lost") -> None:
        """It never will; `outcome` is `lost`, or `skipped` for what cannot be proven this way."""
        now = self._clock()
        await self._file.ask(lambda c: sql.end(c, entry, "given_up", reason, now))
        facts = {"kind": self._kind, "chain_id": entry.proof.chain_id, "proof": entry.id, "reason": reason}
        _log.warning("proof %s", outcome, extra={"facts": facts})
        self._metrics.outcomes.add(self._kind, outcome)

    async def tidy(self, *, max_age_seconds: float) -> int:
        """Give up what is too old, forget what ended long ago; how many proofs have not ended."""
        now = self._clock()

        def work(connection: sqlite3.Connection) -> tuple[list[str], int]:
            long_ago = now - KEPT_SECONDS
            expired = sql.expire(connection, created_before=now - max_age_seconds, due_before=long_ago, now=now)
            sql.forget(connection, ended_before=long_ago, now=now)
            return expired, sql.count_open(connection)

        expired, still_open = await self._file.ask(work)
        for kind, count in Counter(expired).items():
            self._lose(kind, count, "too old")
        return still_open

    async def close(self) -> None:
        """Write what was added and close the file; what is queued stays there."""
        await self._file.close()

    def _write(self) -> Written:
        """Of the thread. Queue what is waiting, in one transaction."""
        with self._lock:
            proofs, self._unwritten = self._unwritten, []
        now = self._clock()
        try:
            done = self._file.attempt(
                lambda c: sql.insert(c, self._kind, proofs, now, max_queued=self._max_queued, allowed=self._budget)
            )
        except StoreError as error:
            _log.error("proofs cannot be stored: %s", error.detail)
            return Written(0, 0, len(proofs))
        return Written(done.queued, done.beyond_budget, len(proofs) - done.queued - done.beyond_budget)


class SendingRight:
    """Held by one process at a time, so that two servers over one file, as in a rolling restart, send nothing twice.

    The kernel takes it back when the process ends, however that happens (flock(2)).
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Try to take it; True when it is ours."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def give_back(self) -> None:
        """Let another process have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
