"""The durable queue of proofs. One thread owns the file, so no stream and no event loop waits for the disk.

Any number of processes may add proofs; one of them sends (`SendingLock`).
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
from provider.observability.metrics.backends import Proofs
from provider.proofs import sql
from provider.proofs.budget import Budget
from provider.proofs.proof import Proof
from provider.proofs.sql import Entry
from provider.proofs.transaction import SignedTransaction
from provider.sqlite import SqliteThread, prove_writable

# Proofs in memory that wait for the disk; each takes about 1 KiB.
MAX_UNWRITTEN = 10_000
# Ended proofs stay readable for the operator this long.
KEPT_SECONDS = 7 * 86_400.0

_log = logging.getLogger(__name__)


def proofs_path(storage_path: str | Path) -> Path:
    """Return the path of the queue's file, beside the nonce store's."""
    return Path(f"{storage_path}.proofs")


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of adding proofs. `refused`: there was no room, or the file failed."""

    queued: int
    beyond_budget: int
    refused: int


class ProofStore:
    """The queue's file at `path`, created when absent; its directory must exist. It holds proofs of one `kind`.

    The file is opened at first use and again after a failure. At most `max_queued` open proofs are kept. Proofs beyond
    `budget` are skipped. Coroutines raise StoreError.
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
        """Queue a proof; returns at once. `written` is called in this loop after the proof is durable.

        A proof that cannot be queued is logged and counted as `lost`. Proofs that arrive while the disk is busy share
        one sync.
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
            reason = "the budget of the order, of its consumer or of the day is used up"
            _log.info(
                "no proof", extra={"fields": {"kind": self._kind, "count": outcome.beyond_budget, "reason": reason}}
            )
            self._metrics.outcomes.add(self._kind, "skipped", by=outcome.beyond_budget)
        if outcome.refused:
            self._lose(self._kind, outcome.refused, "the queue is full, or its file cannot be written")
        if outcome.queued:
            written()

    def skip(self, proof: Proof, reason: str) -> None:
        """Count and log a download that cannot be proven."""
        _log.info("no proof", extra={"fields": {"kind": self._kind, "chain_id": proof.chain_id, "reason": reason}})
        self._metrics.outcomes.add(self._kind, "skipped")

    def _lose(self, kind: str, count: int, reason: str) -> None:
        _log.error("proofs lost", extra={"fields": {"kind": kind, "count": count, "reason": reason}})
        self._metrics.outcomes.add(kind, "lost", by=count)

    async def open(self) -> None:
        """Open the file."""
        await self._file.ask(sql.count_open)

    async def check(self) -> None:
        """Check with a durable write that the file works."""
        await self._file.ask(prove_writable)

    async def due(self, state: str, *, chain_id: int | None, limit: int) -> list[Entry]:
        """Return the open proofs of one state that are due by now."""
        now = self._clock()
        return await self._file.ask(lambda c: sql.due(c, self._kind, state, chain_id=chain_id, now=now, limit=limit))

    async def held_nonces(self, chain_id: int) -> frozenset[int]:
        """Return the account nonces of our transactions that are in no block as far as we know."""
        return await self._file.ask(lambda c: sql.held_nonces(c, chain_id))

    async def record_signed(
        self, entry: Entry, account_nonce: int, signed: SignedTransaction, *, due_in_seconds: float
    ) -> None:
        """Store a transaction before it is sent."""
        now = self._clock()
        due_at = now + due_in_seconds
        await self._file.ask(lambda c: sql.record_signed(c, entry, account_nonce, signed, now=now, due_at=due_at))

    async def release(self, entry: Entry, *, due_in_seconds: float) -> None:
        """Return a proof to the queue, because its transactions can no longer enter the chain."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.release(c, entry, due_at))

    async def retry(self, entry: Entry, *, due_in_seconds: float) -> None:
        """Record a failed attempt."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.retry(c, entry, due_at))

    async def defer(self, entries: list[Entry], *, due_in_seconds: float) -> None:
        """Postpone proofs without counting an attempt."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.defer(c, entries, due_at))

    async def seen(
        self, entry: Entry, *, mined_block: int | None = None, misses: int = 0, due_in_seconds: float
    ) -> None:
        """Record what the chain says about a sent proof."""
        due_at = self._clock() + due_in_seconds
        await self._file.ask(lambda c: sql.seen(c, entry, mined_block, misses, due_at))

    async def confirm(self, entry: Entry) -> None:
        """Record that the proof has arrived."""
        now = self._clock()
        await self._file.ask(lambda c: sql.end(c, entry, "confirmed", "", now))
        self._metrics.outcomes.add(self._kind, "confirmed")

    async def give_up(self, entry: Entry, reason: str, *, outcome: str = "lost") -> None:
        """Record that it never will arrive. `outcome`: `lost`, or `skipped` for what cannot be proven this way."""
        now = self._clock()
        await self._file.ask(lambda c: sql.end(c, entry, "given_up", reason, now))
        facts = {"kind": self._kind, "chain_id": entry.proof.chain_id, "proof": entry.id, "reason": reason}
        _log.warning("proof %s", outcome, extra={"fields": facts})
        self._metrics.outcomes.add(self._kind, outcome)

    async def tidy(self, *, max_age_seconds: float) -> int:
        """Give up proofs that are too old, delete those that ended long ago, and return the number of open ones."""
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
        """Write what was added and close the file. What is queued stays there."""
        await self._file.close()

    def _write(self) -> Written:
        """Queue what is waiting, in one transaction. Runs in the file's thread."""
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


class SendingLock:
    """A lock held by one process at a time, so that two servers over one file (rolling restart) send nothing twice.

    The kernel releases it when the process ends, in whatever way (flock(2)).
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Try to acquire it; True if this process holds it."""
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

    def release(self) -> None:
        """Let another process have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
