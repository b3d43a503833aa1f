"""The SQLite file of the embedded nonce store: opening it, its schema, and import from earlier versions.

It runs on the store's own thread; nothing is asynchronous. The file may be one of Provider 2.1. The tables of that
version are read once and never changed.
"""

import sqlite3
import time
from pathlib import Path

from provider.auth.nonce import is_greater, parse_nonce
from provider.auth.nonce_rows import row_of
from provider.auth.nonce_rule import imported
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import StoreError
from provider.sqlite import enter_wal, schema_version, transaction

_SCHEMA_VERSION = 4
# Version 2 had a table `window_nonces` for addresses that might use nonces out of order. Version 3 wrote `memory` in a
# longer form, which is still read.
_OUTDATED = (1, 2, 3)
# `nonce`: the last one, from which a client counts on. `memory`: the rest of `nonce_rule.Held` as `nonce_rows.py`
# writes it; empty if only the nonce is known. `uses`: grows with every change of the row.
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

    The directory must exist: creating it silently would hide a volume that was not mounted. Raises StoreError if the
    file belongs to another program or a later version, and sqlite3.Error for every other failure.
    """
    connection = sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)
    try:
        enter_wal(connection, busy_timeout_seconds)
        # FULL syncs the log at every commit: an acknowledged nonce survives loss of power (sqlite.org/wal.html).
        connection.execute("PRAGMA synchronous = FULL")
        _ensure_schema(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    if schema_version(connection) == _SCHEMA_VERSION:
        return
    with transaction(connection):
        # Read again under the lock: another worker may have created the tables meanwhile.
        version = schema_version(connection)
        if version == _SCHEMA_VERSION:
            return
        if version not in (0, *_OUTDATED):
            raise StoreError(
                detail=f"{path}: schema version {version} is not ours ({_SCHEMA_VERSION}): the file belongs to"
                " another program or to a later version of the Provider"
            )
        if version != 3:
            _create_or_extend(connection, is_new=version == 0)
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _create_or_extend(connection: sqlite3.Connection, *, is_new: bool) -> None:
    for statement in _SCHEMA if is_new else _NEW_COLUMNS:
        connection.execute(statement)
    if is_new:
        rows = _nonces_of_provider_2(connection).items()
        connection.executemany("INSERT INTO spent_nonces (address, nonce) VALUES (?, ?)", rows)
    _set_large_nonces_apart(connection)


def _set_large_nonces_apart(connection: sqlite3.Connection) -> None:
    """Let each address whose greatest nonce is no clock value of this time go on, by `nonce_rule.imported`."""
    now = time.time()
    rows = connection.execute("SELECT address, nonce FROM spent_nonces WHERE length(nonce) > 9").fetchall()
    changed = [row_of(address, held) for address, nonce in rows if (held := imported(nonce, now=now)) is not None]
    connection.executemany("INSERT OR REPLACE INTO spent_nonces (address, nonce, memory) VALUES (?, ?, ?)", changed)


def _nonces_of_provider_2(connection: sqlite3.Connection) -> dict[str, str]:
    """Return by address the nonces that Provider 2.1 stored in this file, so that they stay used after an upgrade.

    Version 2.1 has a row for each spelling of an address; the greatest nonce counts. Its revoked tokens are not
    imported: tokens made with its key are not valid here.
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
