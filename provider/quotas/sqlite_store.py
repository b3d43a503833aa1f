"""The counts of one host, in a SQLite file that its workers share."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from provider.errors import StoreError
from provider.override import override
from provider.quotas.quota import NOTHING, Amount, Body, Count, Quota, Refusal, decide, held_by
from provider.quotas.store import KEPT_SECONDS, LEASE_SECONDS, Move, QuotaStore
from provider.sqlite import SqliteThread, explain, open_private, schema_version, transaction

R = TypeVar("R")
_log = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE counts (name TEXT PRIMARY KEY, parts INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " held_parts INTEGER NOT NULL, held_bytes INTEGER NOT NULL, ends_at INTEGER) WITHOUT ROWID",
    "CREATE INDEX counts_by_end ON counts (ends_at)",
    # `names`: the counts that a download holds a part of, one per line.
    "CREATE TABLE holds (id TEXT PRIMARY KEY, until REAL NOT NULL, names TEXT NOT NULL, held_parts INTEGER NOT NULL,"
    " held_bytes INTEGER NOT NULL, sent_parts INTEGER NOT NULL, sent_bytes INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX holds_by_end ON holds (until)",
)
_COUNT = "SELECT parts, bytes, held_parts, held_bytes, ends_at FROM counts WHERE name = ?"
_HOLD = (
    "INSERT INTO counts VALUES (?, 0, 0, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " held_parts = held_parts + excluded.held_parts, held_bytes = held_bytes + excluded.held_bytes,"
    " ends_at = excluded.ends_at"
)
_KEEP = (
    "INSERT INTO holds VALUES (?, ?, ?, ?, ?, 0, 0) ON CONFLICT DO UPDATE SET until = excluded.until,"
    " held_parts = held_parts + excluded.held_parts, held_bytes = held_bytes + excluded.held_bytes"
)
_MOVE = (
    "UPDATE counts SET parts = parts + ?, bytes = bytes + ?, held_parts = held_parts - ?, held_bytes = held_bytes - ?"
    " WHERE name = ?"
)


class _Job(Generic[R]):
    """Work for the next transaction, and the future of its caller."""

    def __init__(self, work: Callable[[sqlite3.Connection], R]) -> None:
        self._work = work
        self._results: list[R] = []
        self.done: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def run(self, connection: sqlite3.Connection) -> None:
        self._results = [self._work(connection)]

    def finish(self, error: StoreError | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(self._results[0])


class SqliteQuotaStore(QuotaStore):
    """The file at `path`. Work that waits at the same time shares one transaction, and so one sync to disk."""

    def __init__(
        self, path: Path, *, busy_timeout_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        connect = partial(open_counts, path, busy_timeout_seconds=busy_timeout_seconds)
        self._file = SqliteThread(path, connect, name="quotas")
        self._clock = clock
        self._waiting: list[_Job[object]] = []
        self._writing: asyncio.Task[None] | None = None
        self._tidied_on = 0

    @override
    async def counts(self, names: Sequence[str]) -> Sequence[Count]:
        return await self._file.ask(partial(self._counts, names))

    @override
    async def take(self, hold_id: str, quotas: Sequence[Quota], body: Body, now: float) -> Refusal | Amount:
        return await self._write(partial(self._take, hold_id, quotas, body, now))

    @override
    async def move(self, moves: Sequence[Move]) -> None:
        await self._write(partial(self._move, moves))

    @override
    async def close(self) -> None:
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await self._file.close()

    def _write(self, work: Callable[[sqlite3.Connection], R]) -> "asyncio.Future[R]":
        job = _Job(work)
        self._waiting.append(job)  # type: ignore[arg-type] # each job keeps the type of its own result
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        return job.done

    async def _write_all(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            failure: StoreError | None = None
            try:
                await self._file.ask(partial(_run_together, jobs))
            except StoreError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - the top of a background task: nobody may wait for ever
                _log.error("quotas: a write has failed", exc_info=error)
                failure = StoreError(detail=f"the counts cannot be written: {type(error).__name__}")
            for job in jobs:
                job.finish(failure)
        self._writing = None

    def _counts(self, names: Sequence[str], connection: sqlite3.Connection) -> Sequence[Count]:
        if connection.execute("SELECT 1 FROM holds WHERE until < ? LIMIT 1", (self._clock(),)).fetchone():
            with transaction(connection):
                self._give_back(connection)
        return [_count(connection, name) for name in names]

    def _take(
        self, hold_id: str, quotas: Sequence[Quota], body: Body, now: float, connection: sqlite3.Connection
    ) -> Refusal | Amount:
        self._give_back(connection)
        self._tidy(connection, now)
        counts = [_count(connection, quota.name) for quota in quotas]
        refusal = decide(quotas, counts, body, now)
        if refusal is not None:
            return refusal
        held = held_by(body, quotas, counts)
        rows = [(quota.name, held.parts, held.bytes, quota.ends_at) for quota in quotas]
        connection.executemany(_HOLD, rows)
        names = "\n".join(quota.name for quota in quotas)
        hold = (hold_id, self._clock() + LEASE_SECONDS, names, held.parts, held.bytes)
        connection.execute(_KEEP, hold)
        return held

    def _move(self, moves: Sequence[Move], connection: sqlite3.Connection) -> None:
        for move in moves:
            self._move_one(connection, move)

    def _move_one(self, connection: sqlite3.Connection, move: Move) -> None:
        hold = "SELECT held_parts, held_bytes, sent_parts, sent_bytes FROM holds WHERE id = ?"
        known = connection.execute(hold, (move.hold_id,)).fetchone()
        held_parts, held_bytes, sent_parts, sent_bytes = known or (0, 0, move.noted.parts, move.noted.bytes)
        left = NOTHING if move.is_end else move.rest
        parts, sent = move.sent.parts - sent_parts, move.sent.bytes - sent_bytes
        change = parts, sent, held_parts - left.parts, held_bytes - left.bytes
        connection.executemany(_MOVE, [(*change, name) for name in move.names])
        if move.is_end:
            connection.execute("DELETE FROM holds WHERE id = ?", (move.hold_id,))
            return
        row = (move.hold_id, self._clock() + LEASE_SECONDS, "\n".join(move.names), left.parts, left.bytes)
        connection.execute(
            "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, move.sent.parts, move.sent.bytes)
        )

    def _give_back(self, connection: sqlite3.Connection) -> None:
        """Give back what dead workers hold. The bytes that they reported are counted already."""
        over = "SELECT id, names, held_parts, held_bytes FROM holds WHERE until < ?"
        for hold_id, names, parts, held in connection.execute(over, (self._clock(),)).fetchall():
            connection.executemany(_MOVE, [(0, 0, parts, held, name) for name in names.split("\n")])
            connection.execute("DELETE FROM holds WHERE id = ?", (hold_id,))

    def _tidy(self, connection: sqlite3.Connection, now: float) -> None:
        """Once a day, delete the counts that ended long ago."""
        today = int(now // 86_400)
        if today != self._tidied_on:
            self._tidied_on = today
            connection.execute("DELETE FROM counts WHERE ends_at < ?", (now - KEPT_SECONDS,))


def counts_path(storage_path: str) -> Path:
    """The file beside that of the nonces."""
    return Path(f"{storage_path}.quotas")


def stored_counts(path: Path, names: Sequence[str]) -> Sequence[Count]:
    """The counts in a file that may be in use, or that nobody has made yet. Raises StoreError."""
    if not path.exists():
        return [Count() for _ in names]
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return [_count(connection, name) for name in names]
    except sqlite3.Error as error:
        raise StoreError(detail=explain(path, error)) from None


def open_counts(path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open or create the file for this user alone. Raises StoreError, sqlite3.Error."""
    connection = open_private(path, busy_timeout_seconds=busy_timeout_seconds)
    try:
        with transaction(connection):
            version = schema_version(connection)
            if version not in (0, _SCHEMA_VERSION):
                raise StoreError(detail=f"{path}: schema version {version} is not ours ({_SCHEMA_VERSION})")
            if version == 0:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _run_together(jobs: Sequence[_Job[object]], connection: sqlite3.Connection) -> None:
    with transaction(connection):
        for job in jobs:
            job.run(connection)


def _count(connection: sqlite3.Connection, name: str) -> Count:
    row = connection.execute(_COUNT, (name,)).fetchone()
    if row is None:
        return Count()
    parts, sent, held_parts, held, ends_at = row
    return Count(Amount(parts, sent), Amount(held_parts, held), ends_at)
