"""Embedded NonceStore: one SQLite file, any number of processes on one host.

One thread per store owns the connection. Questions that come together are answered in one transaction with one
sync to disk (group commit), and handed back to the event loop with one call.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provider.auth.batches import Batches
from provider.auth.nonce import parse_nonce
from provider.auth.nonce_rows import NonceRows, last_nonce
from provider.auth.nonce_rule import NonceUse
from provider.auth.nonce_store import NonceStore, revocation_key
from provider.auth.signed_text import OpenText
from provider.auth.sqlite_file import open_store
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import NonceRefused, ProviderError, StoreError
from provider.override import override
from provider.sqlite import explain, give_up, prove_writable, transaction

# Bounds how long one transaction keeps the write lock from other workers: 512 nonces take about 6 ms.
_MAX_GROUP = 512
# The clocks of hosts differ. A revocation is kept this much longer than its token is valid.
_REVOCATION_GRACE_SECONDS = 3600
_MAX_INTEGER = 2**63 - 1

_log = logging.getLogger(__name__)

_Work = Callable[[sqlite3.Connection], object]
_Answer = object  # a result, or the ProviderError to raise


@dataclass(slots=True, eq=False)
class _Job:
    """One job for the thread: a nonce to use, or other work. `writes`: it belongs into the group's transaction."""

    work: _Work | NonceUse
    writes: bool
    reply: "asyncio.Future[object]"


class SqliteNonceStore(NonceStore):
    """A NonceStore in the file `path`, which is created if absent; its directory must exist.

    The file is opened at the first use and again after a failure, so a disk that was full or missing needs no restart.
    One store belongs to one event loop. A call waits for at most one sync of other calls before its own.

    `busy_timeout_seconds`: how long another process may hold the write lock before StoreError is raised.
    `clock` returns unix seconds; it is only used to delete revocations of expired tokens.
    """

    def __init__(
        self, path: str | Path, *, busy_timeout_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = Path(path)
        self._busy_timeout_seconds = busy_timeout_seconds
        self._clock = clock
        self._batches: Batches[_Job] | None = None
        self._groups: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._ended = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._nonces: NonceRows | None = None

    @override
    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        key = to_checksum_address(address)
        if parse_nonce(nonce) is None:
            raise NonceRefused
        await self._ask(NonceUse(key, nonce, text, unknown_past), writes=True)

    @override
    async def last(self, address: str) -> str | None:
        if not is_address(address):
            return None
        key = to_checksum_address(address)
        answer = await self._ask(lambda connection: last_nonce(connection, key), writes=False)
        return answer if isinstance(answer, str) else None

    @override
    async def revoke(self, token_id: str, expires_at: int) -> None:
        await self.take_over_revocation(revocation_key(token_id), expires_at)

    async def take_over_revocation(self, row_key: str, expires_at: int) -> None:
        """Store a revocation that comes from another store. `row_key`: its `revocation_key`."""
        row = row_key, min(expires_at, _MAX_INTEGER)
        oldest_at = int(self._clock()) - _REVOCATION_GRACE_SECONDS

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM token_revocations WHERE expires_at < ?", (oldest_at,))
            connection.execute("INSERT OR REPLACE INTO token_revocations VALUES (?, ?)", row)

        await self._ask(work, writes=True)

    @override
    async def restore(self, token_id: str) -> None:
        row = (revocation_key(token_id),)
        await self._ask(
            lambda connection: connection.execute("DELETE FROM token_revocations WHERE token_id = ?", row) and None,
            writes=True,
        )

    @override
    async def revoked_until(self, token_id: str) -> int | None:
        row = (revocation_key(token_id),)
        query = "SELECT expires_at FROM token_revocations WHERE token_id = ?"
        answer = await self._ask(lambda connection: connection.execute(query, row).fetchone(), writes=False)
        return answer[0] if isinstance(answer, tuple) else None

    @override
    async def check(self) -> None:
        # Not marked as a write, because it opens its own transaction.
        await self._ask(prove_writable, writes=False)

    @override
    async def close(self) -> None:
        self._closed = True
        if self._thread is not None and self._batches is not None:
            self._batches.flush()
            self._groups.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def _ask(self, work: _Work | NonceUse, *, writes: bool) -> object:
        if self._closed:
            raise StoreError(detail=f"{self._path}: the store was closed")
        if self._thread is None:
            # A daemon thread, so that a process that never closes the store can end. Commits are durable anyway.
            self._thread = threading.Thread(target=self._serve, name="nonce-store", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        if self._batches is None or self._batches.loop is not loop:
            self._batches = Batches(loop, self._hand_over, limit=_MAX_GROUP)
        reply = loop.create_future()
        self._batches.add(_Job(work, writes, reply))
        try:
            return await reply
        finally:
            # An exception refers to this frame. If the frame referred to its future too, they would form a cycle.
            del reply

    def _hand_over(self, group: list[_Job]) -> None:
        self._groups.put(group)
        if self._ended.is_set():
            self._settle(group, [self._has_ended() for _ in group], is_last=True)

    def _settle(self, jobs: Sequence[_Job], answers: Sequence[_Answer], *, is_last: bool) -> None:
        for job, answer in zip(jobs, answers, strict=True):
            if job.reply.done():
                continue
            if isinstance(answer, ProviderError):
                job.reply.set_exception(answer)
            else:
                job.reply.set_result(answer)
        if is_last and self._batches is not None:
            self._batches.done()

    def _has_ended(self) -> StoreError:
        return StoreError(detail=f"{self._path}: the store has ended")

    # The following methods run on the store's thread.

    def _serve(self) -> None:
        group: list[_Job] | None = None
        try:
            while (group := self._groups.get()) is not None:
                parts = list(_parts(group))
                for part in parts:
                    self._deliver(part, self._attempt(part), is_last=part is parts[-1])
        finally:
            # Also when a defect ends the thread: nobody may wait for ever. `_ended` comes before the last look
            # into the queue, and `_hand_over` reads it after putting, so that no group falls in between.
            self._disconnect()
            self._ended.set()
            left: list[_Job] = list(group or ())
            while not self._groups.empty():
                left += self._groups.get_nowait() or ()
            self._deliver(left, [self._has_ended() for _ in left], is_last=True)

    def _deliver(self, jobs: Sequence[_Job], answers: Sequence[_Answer], *, is_last: bool) -> None:
        """Hand answers to the waiting coroutines with one wake-up of their event loop."""
        if not jobs:
            return
        # A loop that was closed has nobody who waits.
        with suppress(RuntimeError):
            jobs[0].reply.get_loop().call_soon_threadsafe(partial(self._settle, jobs, answers, is_last=is_last))

    def _attempt(self, jobs: Sequence[_Job]) -> Sequence[_Answer]:
        """Answer jobs together. If the file fails, all of them fail. No answer is given before it is durable."""
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = open_store(self._path, busy_timeout_seconds=self._busy_timeout_seconds)
                self._nonces = NonceRows(connection)
            uses = [job.work for job in jobs if isinstance(job.work, NonceUse)]
            if uses and self._nonces is not None:
                return self._nonces.use_all(uses)
            works = [job.work for job in jobs if not isinstance(job.work, NonceUse)]
            if not jobs[0].writes:
                return [work(connection) for work in works]
            with transaction(connection):
                return [work(connection) for work in works]
        except sqlite3.Error as error:
            self._disconnect()
            detail = explain(self._path, error)
        except StoreError as error:
            detail = error.detail or ""
        except Exception as error:  # noqa: BLE001 - the top of the thread's work: it has to serve the next group
            self._disconnect()
            _log.error("the nonce store failed", exc_info=error)
            detail = f"{self._path}: {type(error).__name__}"
        return [StoreError(detail=detail) for _ in jobs]

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        give_up(connection)


def _parts(group: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Split a group into jobs that are answered together: each read alone, all nonces, all other writes."""
    yield from ([job] for job in group if not job.writes)
    writers = [job for job in group if job.writes]
    for nonces in (True, False):
        part = [job for job in writers if isinstance(job.work, NonceUse) is nonces]
        if part:
            yield part
