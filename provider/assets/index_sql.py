"""Schema and statements of the metadata index. Runs on the store's thread and raises sqlite3.Error.

Every write is one transaction that takes the write lock first, so that its reads cannot be outdated.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from provider.assets.index_records import EventRecord, Page, Scan, SealedDocument, StoredAsset
from provider.errors import StoreError
from provider.sqlite import enter_wal, schema_version, transaction

SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE index_scans (chain_id INTEGER PRIMARY KEY, factory TEXT NOT NULL, start_block INTEGER NOT NULL,"
    " last_block INTEGER NOT NULL)",
    "CREATE TABLE index_anchors (chain_id INTEGER NOT NULL, block_number INTEGER NOT NULL, block_hash TEXT NOT NULL,"
    " PRIMARY KEY (chain_id, block_number)) WITHOUT ROWID",
    "CREATE TABLE index_nfts (chain_id INTEGER NOT NULL, data_nft TEXT NOT NULL, did_key TEXT NOT NULL,"
    " block_number INTEGER NOT NULL, PRIMARY KEY (chain_id, data_nft)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX index_nfts_by_did ON index_nfts (did_key)",
    "CREATE INDEX index_nfts_by_block ON index_nfts (chain_id, block_number)",
    # document_hash is NULL if only the state changed, data if the document was too long to be stored.
    "CREATE TABLE index_events (chain_id INTEGER NOT NULL, block_number INTEGER NOT NULL, log_index INTEGER NOT NULL,"
    " data_nft TEXT NOT NULL, tx_id TEXT NOT NULL, state INTEGER NOT NULL, flags INTEGER, document_hash BLOB,"
    " data BLOB, PRIMARY KEY (chain_id, block_number, log_index))",
    "CREATE INDEX index_events_by_nft ON index_events (chain_id, data_nft, block_number, log_index)",
    "CREATE TABLE index_changes (number INTEGER PRIMARY KEY AUTOINCREMENT, did_key TEXT NOT NULL)",
)
TABLES = frozenset({"index_scans", "index_anchors", "index_nfts", "index_events", "index_changes"})
# Number of page ends whose hashes are kept. At one poll per 15 s they cover half an hour.
_MAX_ANCHORS = 128
# Changes that other processes may not have read yet. Each of their polls reads them all.
_MAX_CHANGES = 10_000

_Fingerprint = tuple[object, ...]


def open_index(path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open or create the file for this thread, in autocommit mode. Raises StoreError for a file of another kind."""
    connection = sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)
    try:
        enter_wal(connection, busy_timeout_seconds)
        # If the last commit is lost, it is read from the chain again, so there is no need to wait for the disk.
        connection.execute("PRAGMA synchronous = NORMAL")
        if schema_version(connection) != SCHEMA_VERSION:
            _create(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection):
        # Check again under the lock: another worker may have created the tables meanwhile.
        version = schema_version(connection)
        if version == SCHEMA_VERSION:
            return
        if version != 0:
            raise StoreError(
                detail=f"{path}: schema version {version} is not ours ({SCHEMA_VERSION}): delete the file if it is"
                " the metadata index of another version, it is rebuilt from the chain"
            )
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def begin(connection: sqlite3.Connection, chain_id: int, factory: str, start_block: int) -> Scan:
    """Statement of `IndexStore.begin`."""
    query = "SELECT factory, start_block, last_block FROM index_scans WHERE chain_id = ?"
    row = connection.execute(query, (chain_id,)).fetchone()
    if row is None or row[0] != factory or row[1] > start_block:
        with transaction(connection):
            row = connection.execute(query, (chain_id,)).fetchone()
            if row is None or row[0] != factory or row[1] > start_block:
                _forget_above(connection, chain_id, -1)
                row = (factory, start_block, start_block - 1)
                connection.execute("INSERT OR REPLACE INTO index_scans VALUES (?, ?, ?, ?)", (chain_id, *row))
    anchors = connection.execute(
        "SELECT block_number, block_hash FROM index_anchors WHERE chain_id = ? ORDER BY block_number DESC", (chain_id,)
    )
    return Scan(int(row[2]), tuple((int(number), str(block_hash)) for number, block_hash in anchors))


def record(connection: sqlite3.Connection, page: Page, prune_below_block: int) -> bool:
    """Statement of `IndexStore.record`."""
    with transaction(connection):
        last = connection.execute("SELECT last_block FROM index_scans WHERE chain_id = ?", (page.chain_id,)).fetchone()
        if last is None or page.from_block > last[0] + 1 or page.base != _newest_anchor(connection, page.chain_id):
            return False
        before = _fingerprints(connection, page.chain_id, page.from_block, page.to_block)
        span = (page.chain_id, page.from_block, page.to_block)
        connection.execute("DELETE FROM index_nfts WHERE chain_id = ? AND block_number BETWEEN ? AND ?", span)
        connection.executemany(
            "INSERT OR REPLACE INTO index_nfts VALUES (?, ?, ?, ?)",
            [(page.chain_id, nft.data_nft, nft.did_key, nft.block_number) for nft in page.nfts],
        )
        connection.execute("DELETE FROM index_events WHERE chain_id = ? AND block_number BETWEEN ? AND ?", span)
        known = [event for event in page.events if _is_known(connection, page.chain_id, event.data_nft)]
        connection.executemany(
            "INSERT OR REPLACE INTO index_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_event_row(page.chain_id, event) for event in known],
        )
        changed = before ^ _fingerprints(connection, page.chain_id, page.from_block, page.to_block)
        transferred = _did_keys(connection, page.chain_id, page.transferred)
        _note_changes(connection, {str(fingerprint[0]) for fingerprint in changed} | transferred)
        for data_nft in {event.data_nft for event in known}:
            _prune(connection, page.chain_id, data_nft, prune_below_block)
        _advance(connection, page)
    return True


def rewind(connection: sqlite3.Connection, chain_id: int, to_block: int) -> None:
    """Statement of `IndexStore.rewind`."""
    with transaction(connection):
        _forget_above(connection, chain_id, to_block)
        connection.execute(
            "UPDATE index_scans SET last_block = MIN(last_block, MAX(?, start_block - 1)) WHERE chain_id = ?",
            (to_block, chain_id),
        )


def replace_chain(connection: sqlite3.Connection, chain_id: int, database: str) -> None:
    """Replace a chain by that of an attached database, inside a transaction."""
    _forget_above(connection, chain_id, -1)
    for table in ("index_scans", "index_anchors", "index_nfts", "index_events"):
        connection.execute(f"DELETE FROM main.{table} WHERE chain_id = ?", (chain_id,))  # noqa: S608 - constants
        connection.execute(
            f"INSERT INTO main.{table} SELECT * FROM {database}.{table} WHERE chain_id = ?",  # noqa: S608 - constants
            (chain_id,),
        )
    connection.execute(
        "INSERT INTO main.index_changes (did_key) SELECT did_key FROM main.index_nfts WHERE chain_id = ?", (chain_id,)
    )
    _forget_old_changes(connection)


def find(connection: sqlite3.Connection, did_key: str) -> StoredAsset | None:
    """Statement of `IndexStore.find`."""
    nft = connection.execute("SELECT chain_id, data_nft FROM index_nfts WHERE did_key = ?", (did_key,)).fetchone()
    if nft is None:
        return None
    document = connection.execute(
        "SELECT tx_id, flags, data, document_hash FROM index_events"
        " WHERE chain_id = ? AND data_nft = ? AND document_hash IS NOT NULL"
        " ORDER BY block_number DESC, log_index DESC LIMIT 1",
        nft,
    ).fetchone()
    if document is None:
        return None
    (state,) = connection.execute(
        "SELECT state FROM index_events WHERE chain_id = ? AND data_nft = ?"
        " ORDER BY block_number DESC, log_index DESC LIMIT 1",
        nft,
    ).fetchone()
    tx_id, flags, data, document_hash = document
    return StoredAsset(nft[0], nft[1], state, tx_id, SealedDocument(flags, data, document_hash))


def nfts(connection: sqlite3.Connection, chain_id: int) -> tuple[str, ...]:
    """Statement of `IndexStore.nfts`."""
    rows = connection.execute("SELECT data_nft FROM index_nfts WHERE chain_id = ?", (chain_id,))
    return tuple(str(row[0]) for row in rows)


def nfts_behind(connection: sqlite3.Connection, did_keys: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Statement of `IndexStore.nfts_behind`."""
    query = "SELECT chain_id, data_nft FROM index_nfts WHERE did_key = ?"
    rows = [connection.execute(query, (key,)).fetchone() for key in did_keys]
    return tuple((int(row[0]), str(row[1])) for row in rows if row is not None)


def changes(connection: sqlite3.Connection, since: int | None) -> tuple[int, tuple[str, ...] | None]:
    """Statement of `IndexStore.changes`."""
    oldest, newest = connection.execute("SELECT MIN(number), MAX(number) FROM index_changes").fetchone()
    if newest is None:
        return 0, ()
    if since is None or since > newest or since < oldest - 1:
        return newest, None
    rows = connection.execute(
        "SELECT DISTINCT did_key FROM index_changes WHERE number > ? AND number <= ?", (since, newest)
    )
    return newest, tuple(str(row[0]) for row in rows)


def _newest_anchor(connection: sqlite3.Connection, chain_id: int) -> tuple[int, str] | None:
    query = "SELECT block_number, block_hash FROM index_anchors WHERE chain_id = ? ORDER BY block_number DESC LIMIT 1"
    row = connection.execute(query, (chain_id,)).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def _did_keys(connection: sqlite3.Connection, chain_id: int, data_nfts: Iterable[str]) -> set[str]:
    query = "SELECT did_key FROM index_nfts WHERE chain_id = ? AND data_nft = ?"
    rows = (connection.execute(query, (chain_id, data_nft)).fetchone() for data_nft in data_nfts)
    return {str(row[0]) for row in rows if row is not None}


def _is_known(connection: sqlite3.Connection, chain_id: int, data_nft: str) -> bool:
    query = "SELECT 1 FROM index_nfts WHERE chain_id = ? AND data_nft = ?"
    return connection.execute(query, (chain_id, data_nft)).fetchone() is not None


def _event_row(chain_id: int, event: EventRecord) -> tuple[object, ...]:
    document = event.document
    sealed = (document.flags, document.document_hash, document.data) if document else (None, None, None)
    return chain_id, event.block_number, event.log_index, event.data_nft, event.tx_id, event.state, *sealed


def _fingerprints(connection: sqlite3.Connection, chain_id: int, first: int, last: int) -> set[_Fingerprint]:
    """Values that identify the events of a span, DID hash first."""
    rows = connection.execute(
        "SELECT n.did_key, e.block_number, e.log_index, e.tx_id, e.state, e.document_hash"
        " FROM index_events e JOIN index_nfts n ON n.chain_id = e.chain_id AND n.data_nft = e.data_nft"
        " WHERE e.chain_id = ? AND e.block_number BETWEEN ? AND ?",
        (chain_id, first, last),
    )
    return set(rows)


def _note_changes(connection: sqlite3.Connection, did_keys: set[str]) -> None:
    if not did_keys:
        return
    connection.executemany("INSERT INTO index_changes (did_key) VALUES (?)", [(key,) for key in sorted(did_keys)])
    _forget_old_changes(connection)


def _forget_old_changes(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM index_changes WHERE number <= (SELECT MAX(number) FROM index_changes) - ?", (_MAX_CHANGES,)
    )


def _prune(connection: sqlite3.Connection, chain_id: int, data_nft: str, below_block: int) -> None:
    """Delete records that were replaced long ago, so that an asset with many updates does not fill the disk."""
    for kind in ("document_hash IS NOT NULL", "document_hash IS NULL"):
        connection.execute(
            f"DELETE FROM index_events WHERE chain_id = :chain AND data_nft = :nft AND {kind} AND block_number <"  # noqa: S608 - constants
            " (SELECT MAX(block_number) FROM index_events WHERE chain_id = :chain AND data_nft = :nft"
            f" AND {kind} AND block_number < :below)",
            {"chain": chain_id, "nft": data_nft, "below": below_block},
        )


def _advance(connection: sqlite3.Connection, page: Page) -> None:
    connection.execute(
        "UPDATE index_scans SET last_block = MAX(last_block, ?) WHERE chain_id = ?", (page.to_block, page.chain_id)
    )
    connection.execute(
        "INSERT OR REPLACE INTO index_anchors VALUES (?, ?, ?)", (page.chain_id, page.to_block, page.block_hash)
    )
    connection.execute(
        "DELETE FROM index_anchors WHERE chain_id = ? AND block_number <= (SELECT block_number FROM index_anchors"
        " WHERE chain_id = ? ORDER BY block_number DESC LIMIT 1 OFFSET ?)",
        (page.chain_id, page.chain_id, _MAX_ANCHORS),
    )


def _forget_above(connection: sqlite3.Connection, chain_id: int, block: int) -> None:
    above = (chain_id, block)
    changed = connection.execute(
        "SELECT DISTINCT n.did_key FROM index_events e JOIN index_nfts n"
        " ON n.chain_id = e.chain_id AND n.data_nft = e.data_nft WHERE e.chain_id = ? AND e.block_number > ?",
        above,
    ).fetchall()
    _note_changes(connection, {str(row[0]) for row in changed})
    for table in ("index_events", "index_nfts", "index_anchors"):
        connection.execute(f"DELETE FROM {table} WHERE chain_id = ? AND block_number > ?", above)  # noqa: S608
