"""Shared by our SQLite files: a thread that owns the connection, write transactions, explanations of failures."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from provider.errors import StoreError

Result = TypeVar("Result")


class SqliteThread:
    """The file at `path`. One thread owns its connection, so that the event loop never waits for the disk.

    `connect` opens the file at the first use and again after a failure.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection], *, name: str) -> None:
        self._path = path
        self._connect = connect
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self.is_closed = False

    async def ask(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the thread and return its result. Raises StoreError."""
        if self.is_closed:
            raise StoreError(detail=f"{self._path}: the file was closed")
        return await self.run(lambda: self.attempt(work))

    def run(self, work: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Start `work` on the thread, after earlier work. Inside, `attempt` gives access to the connection."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def attempt(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the connection. Call it on the thread. Raises StoreError; the file is then opened anew."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.Error as error:
            self._disconnect()
            raise StoreError(detail=explain(self._path, error)) from None

    async def close(self) -> None:
        """Finish started work and close the file. `ask` raises StoreError from then on."""
        if not self.is_closed:
            self.is_closed = True
            await self.run(self._disconnect)
            self._thread.shutdown(wait=False)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        give_up(connection)


def give_up(connection: sqlite3.Connection | None) -> None:
    """Close a connection that may have failed. Its earlier failure is the one to report."""
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()


def schema_version(connection: sqlite3.Connection) -> int:
    """The number that the file's owner gave its schema; 0 if it has none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def prove_writable(connection: sqlite3.Connection) -> None:
    """Commit a real page without changing anything. Raises sqlite3.Error."""
    with transaction(connection):
        connection.execute(f"PRAGMA user_version = {schema_version(connection)}")


def enter_wal(connection: sqlite3.Connection, timeout_seconds: float) -> None:
    """Switch the file to WAL, waiting for other processes that do the same. Raises sqlite3.Error.

    Several workers may create a file at once. The switch needs exclusive access, so SQLite answers BUSY to all but one
    of them, without its usual waiting. Where WAL is not available, the mode stays.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def open_private(path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open or create a file that only this user may read, with WAL and synchronous=FULL. Raises sqlite3.Error.

    FULL syncs the log at every commit, so that a committed row survives a loss of power (sqlite.org/wal.html).
    """
    with suppress(OSError):
        # SQLite reports whatever is wrong.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)
    try:
        with suppress(sqlite3.OperationalError):
            # Busy if another process does the same. The mode stays in the file.
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction. It takes the write lock at once, so that its reads cannot be outdated."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some failures (disk full, I/O) have already rolled back.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def explain(path: Path, error: sqlite3.Error) -> str:
    """Explain a failure for the operator's log: path, SQLite's words, and the cause if it is visible."""
    code = getattr(error, "sqlite_errorname", type(error).__name__)
    return f"{path}: {error} ({code}){_visible_cause(path)}"


def _visible_cause(path: Path) -> str:
    # os.path, because Path.exists raises if a parent directory may not be entered.
    parent = path.parent
    if not os.path.exists(parent):
        return f"; the directory {parent} does not exist, or may not be entered"
    if not os.path.isdir(parent):
        return f"; {parent} is not a directory"
    if os.path.isdir(path):
        return "; the path is a directory"
    if os.path.exists(path) and not _may(path, os.R_OK | os.W_OK):
        return "; the file is not readable and writable for this user"
    if not _may(parent, os.W_OK | os.X_OK):
        return f"; the directory {parent} is not writable for this user"
    return ""


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
