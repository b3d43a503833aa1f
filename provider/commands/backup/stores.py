"""The SQLite files that are the state of a host, and how one is copied."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provider.assets.index_sql import open_index
from provider.assets.index_store import index_path
from provider.auth.sqlite_file import open_store
from provider.books.sql import open_books
from provider.commands.backup.manifest import open_file
from provider.config import Settings
from provider.errors import StoreError
from provider.proofs.sql import open_queue
from provider.proofs.store import proofs_path
from provider.quotas.sqlite_store import counts_path, open_counts
from provider.sqlite import explain

NONCES = "nonces"


class _Open(Protocol):
    def __call__(self, path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection: ...


@dataclass(frozen=True, slots=True)
class Store:
    """One of the files. `open` is how the server opens it: it refuses a file of another kind or of a later version."""

    name: str
    path: Path
    open: _Open

    @property
    def file_name(self) -> str:
        """Name of its copy."""
        return f"{self.name}.db"

    def check(self, copy: Path) -> None:
        """Raise StoreError unless the server would open `copy`, which may be brought to the present version."""
        try:
            with closing(self.open(copy, busy_timeout_seconds=5.0)) as connection:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            raise StoreError(detail=explain(copy, error)) from None
        if verdict != "ok":
            raise StoreError(detail=f"{copy}: damaged: {verdict}")


def stores_of(settings: Settings) -> list[Store]:
    """The files of this host. Nonces come last, so that their copy is the newest.

    With Redis, neither nonces nor counts of quotas are here.
    """
    path = settings.storage_path
    stores = [
        Store("books", Path(settings.books.file(path)), open_books),
        Store("index", index_path(path), open_index),
        Store("proofs", proofs_path(path), open_queue),
    ]
    if settings.redis is not None:
        return stores
    return [*stores, Store("quotas", counts_path(path), open_counts), Store(NONCES, Path(path), open_store)]


def copy_database(source: Path, target: Path) -> None:
    """Copy a file that may be in use to the new file `target`, for this user alone. Raises StoreError, OSError."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            # All pages at once: a copy in steps begins again with each write of the server.
            reading.backup(writing)
            # The mode is copied too. One file without a log beside it can be moved anywhere.
            writing.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as error:
        raise StoreError(detail=explain(source, error)) from None
    sync(target)


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Open or create a file that nobody else can open meanwhile. Raises StoreError, also if a server is using it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            # Such a lock stays after the transaction (sqlite.org/pragma.html).
            connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            yield connection
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(detail=f"{path}: a server is using it: stop it first") from None
        raise StoreError(detail=explain(path, error)) from None


def copy_checked(source: Path, target: Path, sha256: str) -> None:
    """Copy a file that has this digest, in hex, to the new file `target`. Raises StoreError, OSError."""
    # Byte for byte: SQLite would also read a log beside it, which has no digest.
    with open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), "w+b") as copy:
        with open_file(source) as original:
            shutil.copyfileobj(original, copy)
        copy.seek(0)
        if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
            raise StoreError(detail=f"{source}: not the file that was backed up")


def remove_copy(path: Path) -> None:
    """Remove a copy, if it is there, and what SQLite may have left beside it: it belongs to this copy alone."""
    for beside in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + beside).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a new file for this user alone. Raises OSError."""
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
