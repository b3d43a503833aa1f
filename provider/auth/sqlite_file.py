"""The SQLite file behind the embedded nonce store: opening, schema, and words for what can go wrong with it.

Runs on the store's own thread; nothing here is asynchronous. The file may be the one that Provider 2.1 left
behind: its tables are read once and never changed.
"""

import sqlite3
import time
from pathlib import Path

from provider.auth.nonce import is_greater, parse_nonce
from provider.auth.nonce_rows import row_of
from provider.auth.nonce_rule import imported
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import StoreError
from provider.sqlite import schema_version, transaction

_SCHEMA_VERSION = 3
# Version 2 had a table `window_nonces` for addresses that might use nonces out of order.
_OUTDATED = (1, 2)
# `nonce` is what a client counts on from, `memory` the rest of `nonce_rule.Held` as `nonce_rows.py` writes it (empty:
# only the nonce is known), `uses` grows with every change of the row.
_SCHEMA = (
    "CREATE TABLE spent_nonces (address TEXT PRIMARY KEY NOT NULL, nonce TEXT NOT NULL,"
    " memory TEXT NOT NULL DEFAULT '', uses INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    "CREATE TABLE token_revocations (token_id TEXT PRIMARY KEY NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX token_revocations_by_expiry ON token_revocations (expires_at)",
)
_NEW_COLUMNS = (
    "ALTER TABLE spent_nonces ADD COLUMN memory TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE spent_nonces ADD COLUMN uses INTEGER NOT NULL DEFAULT 0",
    "DROP TABLE IF EXISTS window_nonces",
)


def open_store(path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open or create the file for this thread, in autocommit mode, WAL and synchronous=FULL.

    Raises StoreError when the file is of another program or a later version, else sqlite3.Error. The directory
    must exist: one made silently would hide a volume that was not mounted.
    """
    connection = sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)
    try:
        _enter_wal(connection, busy_timeout_seconds)
        # FULL syncs the log at every commit: an acknowledged nonce survives loss of power (sqlite.org/wal.html).
        connection.execute("PRAGMA synchronous = FULL")
        _ensure_schema(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _enter_wal(connection: sqlite3.Connection, timeout_seconds: float) -> None:
    # Several workers may make the file at once, and SQLite answers BUSY to all but one of them without its usual
    # waiting, as the switch needs the file alone. (Where WAL cannot be had, the mode stays; FULL holds there too.)
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    if schema_version(connection) == _SCHEMA_VERSION:
        return
    with transaction(connection):
        # Asked again under the lock: another worker may have made the tables meanwhile.
        version = schema_version(connection)
        if version == _SCHEMA_VERSION:
            return
        if version not in (0, *_OUTDATED):
            raise StoreError(
                detail=f"{path}: schema version {version} is not ours ({_SCHEMA_VERSION}): the file belongs to"
                " another program or to a later version of the Provider"
            )
        for statement in _NEW_COLUMNS if version else _SCHEMA:
            connection.execute(statement)
        if not version:
            rows = _nonces_of_provider_2(connection).items()
            connection.executemany("INSERT INTO spent_nonces (address, nonce) VALUES (?, ?)", rows)
        _set_large_nonces_apart(connection)
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _set_large_nonces_apart(connection: sqlite3.Connection) -> None:
    """An address whose greatest nonce no clock shows today can come back, as `nonce_rule.after_large` says."""
    now = time.time()
    rows = connection.execute("SELECT address, nonce FROM spent_nonces WHERE length(nonce) > 9").fetchall()
    changed = [row_of(address, held) for address, nonce in rows if (held := imported(nonce, now=now)) is not None]
    connection.executemany("INSERT OR REPLACE INTO spent_nonces (address, nonce, memory) VALUES (?, ?, ?)", changed)


def _nonces_of_provider_2(connection: sqlite3.Connection) -> dict[str, str]:
    """Nonces that Provider 2.1 stored in this file, so that requests signed before an upgrade stay spent.

    Its rows are keyed on address text as sent, so one address may have several: the greatest counts. Revoked
    tokens are left: tokens made with its key are not valid here.
    """
    columns = {row[1] for row in connection.execute("PRAGMA table_info(user_nonce)")}
    if not {"address", "nonce"} <= columns:
        return {}
    nonces: dict[str, str] = {}
    for address, value in connection.execute("SELECT address, nonce FROM user_nonce"):
        nonce = str(value)
        if not is_address(address) or parse_nonce(nonce) is None:
            continue
        key = to_checksum_address(address)
        if key not in nonces or is_greater(nonce, nonces[key]):
            nonces[key] = nonce
    return nonces
