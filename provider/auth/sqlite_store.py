"""Embedded NonceStore: one SQLite file, any number of processes on one host.

One thread per store owns the connection. Everything that waits when it becomes free is answered in one
transaction with one sync to disk (group commit), and handed back to the event loop with one call.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_rows import NonceRows, last_nonce
from provider.auth.nonce_rule import NonceUse
from provider.auth.nonce_store import revocation_key
from provider.auth.signed_text import OpenText
from provider.auth.sqlite_file import open_store
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import NonceRefused, ProviderError, StoreError
from provider.sqlite import explain, give_up, prove_writable, transaction

# Bounds how long one transaction holds the write lock against other workers: 512 nonces take about 6 ms.
_MAX_GROUP = 512
# Hosts' clocks differ; a revocation is kept this much longer than the token lives.
_REVOCATION_GRACE_SECONDS = 3600
_MAX_INTEGER = 2**63 - 1

_Work = Callable[[sqlite3.Connection], object]
_Answer = object  # a result, or the ProviderError to raise


@dataclass(slots=True, eq=False)
class _Job:
    """One question to the thread: a nonce to use, or other work. `writes` puts it inside the group's transaction."""

    work: _Work | NonceUse
    writes: bool
    reply: "asyncio.Future[object]"


class SqliteNonceStore:
    """A NonceStore over the file `path`, which is created when absent; its directory must exist.

    Opened at the first use and again after a failure, so a disk that was full or away needs no restart. One
    store belongs to one event loop. A call waits for at most one sync of other calls before its own.
    `busy_timeout_seconds` is how long another process may hold the write lock before StoreError is raised.
    `clock` gives unix seconds and only serves to drop revocations of expired tokens.
    """

    def __init__(
        self, path: str | Path, *, busy_timeout_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = Path(path)
        self._busy_timeout_seconds = busy_timeout_seconds
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._ended = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._nonces: NonceRows | None = None

    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        """See NonceStore."""
        key = to_checksum_address(address)
        if parse_nonce(nonce) is None:
            raise NonceRefused
        await self._ask(NonceUse(key, nonce, text, unknown_past), writes=True)

    async def last(self, address: str) -> str | None:
        """See NonceStore; None as well for what is not an address."""
        if not is_address(address):
            return None
        key = to_checksum_address(address)
        answer = await self._ask(lambda connection: last_nonce(connection, key), writes=False)
        return answer if isinstance(answer, str) else None

    async def revoke(self, token_id: str, expires_at: int) -> None:
        """See NonceStore."""
        await self.take_over_revocation(revocation_key(token_id), expires_at)

    async def take_over_revocation(self, row_key: str, expires_at: int) -> None:
        """A revocation from another store, by its `revocation_key`."""
        row = row_key, min(expires_at, _MAX_INTEGER)
        oldest_at = int(self._clock()) - _REVOCATION_GRACE_SECONDS

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM token_revocations WHERE expires_at < ?", (oldest_at,))
            connection.execute("INSERT OR REPLACE INTO token_revocations VALUES (?, ?)", row)

        await self._ask(work, writes=True)

    async def restore(self, token_id: str) -> None:
        """See NonceStore."""
        row = (revocation_key(token_id),)
        await self._ask(
            lambda connection: connection.execute("DELETE FROM token_revocations WHERE token_id = ?", row) and None,
            writes=True,
        )

    async def revoked_until(self, token_id: str) -> int | None:
        """See NonceStore."""
        row = (revocation_key(token_id),)
        query = "SELECT expires_at FROM token_revocations WHERE token_id = ?"
        answer = await self._ask(lambda connection: connection.execute(query, row).fetchone(), writes=False)
        return answer[0] if isinstance(answer, tuple) else None

    async def check(self) -> None:
        """See NonceStore."""
        # Counted as a read because it brings its own transaction.
        await self._ask(prove_writable, writes=False)

    async def close(self) -> None:
        """See NonceStore."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def _ask(self, work: _Work | NonceUse, *, writes: bool) -> object:
        if self._closed:
            raise StoreError(detail=f"{self._path}: the store was closed")
        if self._thread is None:
            # A daemon, so that a process that never closes the store can still end; commits are durable anyway.
            self._thread = threading.Thread(target=self._serve, name="nonce-store", daemon=True)
            self._thread.start()
        reply = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, writes, reply))
        if self._ended.is_set():
            raise StoreError(detail=f"{self._path}: the store has ended")
        try:
            return await reply
        finally:
            # A refusal that it tells holds this frame, which must not hold it.
            del reply

    # Below: the store's thread.

    def _serve(self) -> None:
        group: list[_Job] = []
        try:
            more = True
            while more:
                group, more = self._next_group()
                for part in _parts(group):
                    _deliver(part, self._attempt(part))
        finally:
            # Also when a defect ends the thread: nobody may wait for ever. `_ended` comes before the last look
            # into the queue, and `_ask` reads it after putting, so that no job falls in between.
            self._disconnect()
            self._ended.set()
            group += self._left_over()
            _deliver(group, [StoreError(detail=f"{self._path}: the store has ended") for _ in group])

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Wait for work, then take all that is there. False at the end of the last group."""
        job = self._jobs.get()
        group: list[_Job] = []
        while job is not None:
            group.append(job)
            if len(group) == _MAX_GROUP:
                return group, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _left_over(self) -> list[_Job]:
        jobs: list[_Job] = []
        while not self._jobs.empty():
            job = self._jobs.get_nowait()
            if job is not None:
                jobs.append(job)
        return jobs

    def _attempt(self, jobs: Sequence[_Job]) -> Sequence[_Answer]:
        """Answer jobs together: all of them fail when the file does, none is reported before it is durable."""
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
        return [StoreError(detail=detail) for _ in jobs]

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        give_up(connection)


def _parts(group: Sequence[_Job]) -> Iterator[list[_Job]]:
    """The jobs that are answered together: each reader by itself, all nonces, all other writers."""
    yield from ([job] for job in group if not job.writes)
    writers = [job for job in group if job.writes]
    for nonces in (True, False):
        part = [job for job in writers if isinstance(job.work, NonceUse) is nonces]
        if part:
            yield part


def _deliver(jobs: Sequence[_Job], answers: Sequence[_Answer]) -> None:
    """Hand answers to the waiting coroutines with one wake-up of their event loop."""
    if not jobs:
        return
    try:
        jobs[0].reply.get_loop().call_soon_threadsafe(_settle, jobs, answers)
    except RuntimeError:
        # The loop was closed: nobody waits any more.
        pass


def _settle(jobs: Sequence[_Job], answers: Sequence[_Answer]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if job.reply.done():
            continue
        if isinstance(answer, ProviderError):
            job.reply.set_exception(answer)
        else:
            job.reply.set_result(answer)
