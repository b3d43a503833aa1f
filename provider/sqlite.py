"""What all our SQLite files share: write transactions, and words for what can go wrong with a file.

Runs on the thread that owns the connection; nothing here is asynchronous.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: the write lock is taken at once, so that what is read in it cannot be outdated."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some failures (disk full, I/O) have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def explain(path: Path, error: sqlite3.Error) -> str:
    """What is wrong, for the operator's log: path, SQLite's words, and the cause where it can be seen."""
    code = getattr(error, "sqlite_errorname", type(error).__name__)
    return f"{path}: {error} ({code}){_visible_cause(path)}"


def _visible_cause(path: Path) -> str:
    # os.path, because Path.exists raises where a parent may not be entered.
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
