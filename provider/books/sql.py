"""The file of the books: schema and statements. Times are unix seconds, days are days since 1970 in UTC.

Runs on the ledger's own thread; nothing here is asynchronous. Any number of processes may write. `records` has uses of
bought datasets, `refusals` has uses that were refused before the purchase. A stranger can fill only `refusals`, which
has a limit of its own. Sums of days answer most questions without reading records.
"""

import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provider.books.config import BooksConfig
from provider.books.record import Use
from provider.errors import StoreError
from provider.sqlite import open_private, schema_version, transaction

DAY_SECONDS = 86_400
SESSION_SECONDS = 60.0
"""A link that was idle for this long begins a new record."""
MAX_SESSIONS = 10_000
MAX_REFUSALS = 100_000
"""Refusals kept. They need a limit because they cost the consumer nothing."""
UNKNOWN = 0
"""Dataset of compute results, and of refusals about datasets that nobody has bought here."""

_SCHEMA_VERSION = 2
_COLUMNS = (
    "ended_at, endpoint, dataset, service, file, job, consumer, order_tx, chain, link, outcome, fault, requests, bytes,"
    " part, path, seconds, cached_bytes"
)
_CACHED = "cached_bytes INTEGER NOT NULL DEFAULT 0"
_TABLE = (
    " (id INTEGER PRIMARY KEY, ended_at REAL NOT NULL, endpoint TEXT NOT NULL, dataset NOT NULL, service TEXT NOT NULL,"
    " file INTEGER, job TEXT NOT NULL, consumer TEXT NOT NULL, order_tx TEXT NOT NULL, chain INTEGER,"
    " link TEXT NOT NULL, outcome TEXT NOT NULL, fault TEXT NOT NULL, requests INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, part INTEGER NOT NULL, path TEXT NOT NULL, seconds REAL NOT NULL,"
    f" {_CACHED})"
)
_COUNTS = f"uses INTEGER NOT NULL, requests INTEGER NOT NULL, bytes INTEGER NOT NULL, seconds REAL NOT NULL, {_CACHED}"
_VIEW = (
    "strftime('%Y-%m-%dT%H:%M:%fZ', ended_at, 'unixepoch') AS ended, endpoint, {did} AS did, service, file, job,"
    " consumer, order_tx, chain, link, outcome, fault, requests, bytes, cached_bytes, part, path, seconds, ended_at"
)
SCHEMA = (
    "CREATE TABLE datasets (id INTEGER PRIMARY KEY, did TEXT NOT NULL UNIQUE)",
    "INSERT INTO datasets VALUES (0, '')",
    f"CREATE TABLE records{_TABLE}",
    "CREATE INDEX records_of_dataset ON records (dataset, ended_at)",
    # The dataset of a refusal is the DID that was claimed.
    f"CREATE TABLE refusals{_TABLE}",
    "CREATE TABLE dataset_days (day INTEGER NOT NULL, dataset INTEGER NOT NULL, outcome TEXT NOT NULL,"
    f" fault TEXT NOT NULL, {_COUNTS}, PRIMARY KEY (day, dataset, outcome, fault)) WITHOUT ROWID",
    "CREATE TABLE consumer_days (day INTEGER NOT NULL, consumer TEXT NOT NULL, outcome TEXT NOT NULL,"
    f" fault TEXT NOT NULL, {_COUNTS}, PRIMARY KEY (day, consumer, outcome, fault)) WITHOUT ROWID",
    "CREATE TABLE buyers (dataset INTEGER NOT NULL, consumer TEXT NOT NULL, last_day INTEGER NOT NULL,"
    " PRIMARY KEY (dataset, consumer)) WITHOUT ROWID",
    f"CREATE VIEW usage AS SELECT {_VIEW.format(did='did')} FROM records JOIN datasets ON datasets.id = dataset"  # noqa: S608 - constants
    f" UNION ALL SELECT {_VIEW.format(did='dataset')} FROM refusals",
)
_COUNTING = ("records", "refusals", "dataset_days", "consumer_days")
_FROM_VERSION_1 = (
    *(f"ALTER TABLE {table} ADD COLUMN {_CACHED}" for table in _COUNTING),
    "DROP VIEW usage",
    SCHEMA[-1],
)
_INSERT = f"INSERT INTO {{table}} ({_COLUMNS}) VALUES ({', '.join('?' * 18)})"  # noqa: S608 - constants
_EXTEND = (
    "UPDATE {table} SET ended_at = ?, requests = requests + ?, bytes = bytes + ?, part = part OR ?, path = ?,"
    " seconds = seconds + ?, cached_bytes = cached_bytes + ? WHERE id = ? AND link = ?"
)
_SUM = (
    "INSERT INTO {days} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET uses = uses + excluded.uses,"
    " requests = requests + excluded.requests, bytes = bytes + excluded.bytes, seconds = seconds + excluded.seconds,"
    " cached_bytes = cached_bytes + excluded.cached_bytes"
)
# The oldest come first, so that no index by time is needed.
_DELETE = "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?) AND ended_at < ?"
_BUYER = "INSERT INTO buyers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last_day = max(last_day, excluded.last_day)"
_Key = tuple[object, ...]


def open_books(path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open or create the file for this user alone. Raises StoreError, sqlite3.Error."""
    connection = open_private(path, busy_timeout_seconds=busy_timeout_seconds)
    try:
        _ensure_schema(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    check_version(connection, path)
    with transaction(connection):
        # Asked again under the lock: another worker may have made the tables meanwhile.
        version = schema_version(connection)
        if version != _SCHEMA_VERSION:
            for statement in SCHEMA if version == 0 else _FROM_VERSION_1:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def check_version(connection: sqlite3.Connection, path: Path, *, may_be_new: bool = True) -> None:
    """Raise StoreError if the file is not one of ours. `may_be_new`: accept a new or older one."""
    version = schema_version(connection)
    if version == 0 and not may_be_new:
        raise StoreError(detail=f"{path}: the file is empty. A server fills it when it starts: try again")
    if version != _SCHEMA_VERSION and not (may_be_new and version in (0, 1)):
        raise StoreError(detail=f"{path}: schema version {version} is not ours ({_SCHEMA_VERSION})")


@dataclass(slots=True)
class _Counts:
    """The numbers to add to one sum."""

    uses: int = 0
    requests: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    cached_bytes: int = 0

    def add(self, use: Use, *, is_new: bool) -> None:
        self.uses += is_new
        self.requests += use.requests
        self.sent_bytes += use.sent_bytes
        self.seconds += use.seconds
        self.cached_bytes += use.cached_bytes

    def row(self) -> _Key:
        return self.uses, self.requests, self.sent_bytes, self.seconds, self.cached_bytes


@dataclass(slots=True)
class _Session:
    """The record of a link in use: one for each outcome."""

    row_id: int
    last_at: float


class Writer:
    """Writes uses into the file, each call in one transaction, and deletes records that are too old or too many."""

    def __init__(self, config: BooksConfig) -> None:
        self._config = config
        self._datasets: dict[str, int] = {}
        self._sessions: OrderedDict[_Key, _Session] = OrderedDict()
        self._tidied_on = 0

    def write(self, connection: sqlite3.Connection, uses: Sequence[Use], now: float) -> None:
        """Write the uses. Raises sqlite3.Error; then nothing was written."""
        try:
            with transaction(connection):
                self._write(connection, uses)
                self._prune(connection, 2 * len(uses) + 100, now)
        except BaseException:
            # Rows that these name may have been rolled back.
            self._datasets.clear()
            self._sessions.clear()
            raise

    def _write(self, connection: sqlite3.Connection, uses: Sequence[Use]) -> None:
        by_dataset: defaultdict[_Key, _Counts] = defaultdict(_Counts)
        by_consumer: defaultdict[_Key, _Counts] = defaultdict(_Counts)
        buyers: dict[tuple[int, str], int] = {}
        for use, is_new in self._records(connection, uses):
            day, dataset, ended = int(use.ended_at // DAY_SECONDS), self._dataset(connection, use), _ended(use)
            by_dataset[day, dataset, *ended].add(use, is_new=is_new)
            if use.is_bought:
                by_consumer[day, use.consumer, *ended].add(use, is_new=is_new)
                buyers[dataset, use.consumer] = day
        for days, sums in (("dataset_days", by_dataset), ("consumer_days", by_consumer)):
            connection.executemany(_SUM.format(days=days), [(*key, *counts.row()) for key, counts in sums.items()])
        connection.executemany(_BUYER, [(*pair, day) for pair, day in buyers.items()])

    def _records(self, connection: sqlite3.Connection, uses: Sequence[Use]) -> Iterable[tuple[Use, bool]]:
        """Write the records. Returns each use that was written, and whether it made a new record."""
        single = [use for use in uses if not use.link]
        for table, is_bought in (("records", True), ("refusals", False)):
            rows = [self._row(connection, use) for use in single if use.is_bought is is_bought]
            connection.executemany(_INSERT.format(table=table), rows)
        linked: dict[_Key, Use] = {}
        for use in uses:
            if use.link:
                key = use.link, use.outcome, use.is_bought
                if key in linked:
                    linked[key].absorb(use)
                else:
                    # A copy, because these uses come again if they cannot be written.
                    linked[key] = replace(use)
        yield from ((use, True) for use in single)
        yield from ((use, self._extend(connection, key, use)) for key, use in linked.items())

    def _extend(self, connection: sqlite3.Connection, key: _Key, use: Use) -> bool:
        """Add to the record of a link in use, or begin one. True if it is new."""
        session = self._sessions.get(key)
        if session is not None and use.ended_at - session.last_at < SESSION_SECONDS:
            more = use.requests, use.sent_bytes, use.is_part, use.path, use.seconds, use.cached_bytes
            row = use.ended_at, *more, session.row_id, use.link
            if connection.execute(_EXTEND.format(table=_table(use)), row).rowcount:
                session.last_at = use.ended_at
                self._sessions.move_to_end(key)
                return False
        inserted = connection.execute(_INSERT.format(table=_table(use)), self._row(connection, use))
        self._sessions[key] = _Session(inserted.lastrowid or 0, use.ended_at)
        self._sessions.move_to_end(key)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return True

    def _row(self, connection: sqlite3.Connection, use: Use) -> _Key:
        return (
            use.ended_at,
            use.endpoint,
            self._dataset(connection, use) if use.is_bought else use.did,
            use.service_id,
            use.file_index,
            use.job_id,
            use.consumer,
            use.order_tx_id,
            use.chain_id,
            use.link,
            *_ended(use),
            use.requests,
            use.sent_bytes,
            use.is_part,
            use.path,
            use.seconds,
            use.cached_bytes,
        )

    def _dataset(self, connection: sqlite3.Connection, use: Use) -> int:
        """Number of the use's dataset. Only a purchase makes a new one: a refusal may name anything."""
        known = self._datasets.get(use.did)
        if known is not None:
            return known
        if use.is_bought:
            connection.execute("INSERT OR IGNORE INTO datasets (did) VALUES (?)", (use.did,))
        found = connection.execute("SELECT id FROM datasets WHERE did = ?", (use.did,)).fetchone()
        if found is None:
            return UNKNOWN
        if len(self._datasets) >= MAX_SESSIONS:
            self._datasets.clear()
        self._datasets[use.did] = int(found[0])
        return int(found[0])

    def _prune(self, connection: sqlite3.Connection, count: int, now: float) -> None:
        """Delete up to `count` of the oldest records beyond the limits: more than were just written."""
        oldest_at = now - self._config.max_age_days * DAY_SECONDS
        for table in ("records", "refusals"):
            connection.execute(_DELETE.format(table=table), (count, oldest_at))
        (last,) = connection.execute("SELECT max(id) FROM refusals").fetchone()
        connection.execute("DELETE FROM refusals WHERE id <= ?", ((last or 0) - MAX_REFUSALS,))
        if used_bytes(connection) > self._config.max_bytes:
            deleted = connection.execute(_DELETE.format(table="records"), (count, now + DAY_SECONDS))
            if deleted.rowcount < count:
                # No record is left.
                self._delete_sums(connection, int(now // DAY_SECONDS))
        today = int(now // DAY_SECONDS)
        if today != self._tidied_on:
            self._tidied_on = today
            self._delete_sums(connection, int(oldest_at // DAY_SECONDS))

    def _delete_sums(self, connection: sqlite3.Connection, before_day: int) -> None:
        connection.execute("DELETE FROM dataset_days WHERE day < ?", (before_day,))
        connection.execute("DELETE FROM consumer_days WHERE day < ?", (before_day,))
        connection.execute("DELETE FROM buyers WHERE last_day < ?", (before_day,))
        connection.execute(
            "DELETE FROM datasets WHERE id <> ? AND id NOT IN (SELECT dataset FROM dataset_days)", (UNKNOWN,)
        )
        self._datasets.clear()


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file in use. Free pages are used again; the file does not shrink."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _ended(use: Use) -> tuple[str, str]:
    return use.outcome, use.fault or ""


def _table(use: Use) -> str:
    return "records" if use.is_bought else "refusals"
