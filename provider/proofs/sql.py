"""The SQLite file of the proof queue: schema and statements.

Runs on the store's own thread; nothing here is asynchronous. Times are unix seconds. A row is `queued`, `sent` (its
transaction was signed), `confirmed` or `given_up`; the last two keep no signature.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provider.errors import StoreError
from provider.proofs import budget
from provider.proofs.budget import Budget
from provider.proofs.proof import Proof
from provider.proofs.transaction import Fee, SignedTransaction
from provider.sqlite import open_private, schema_version, transaction

_SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE proofs (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, chain_id INTEGER NOT NULL,"
    " state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', record TEXT NOT NULL, created_at REAL NOT NULL,"
    " due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, misses INTEGER NOT NULL DEFAULT 0,"
    " account_nonce INTEGER, mined_block INTEGER, ended_at REAL)",
    "CREATE INDEX proofs_due ON proofs (due_at) WHERE ended_at IS NULL",
    "CREATE INDEX proofs_ended ON proofs (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE TABLE transactions (tx_id TEXT PRIMARY KEY NOT NULL, proof_id INTEGER NOT NULL, raw BLOB NOT NULL,"
    " max_fee_wei INTEGER NOT NULL, tip_wei INTEGER, signed_at REAL NOT NULL)",
    "CREATE INDEX transactions_of_proof ON transactions (proof_id)",
)
# Each statement below finds its rows by one of these, however many proofs wait, and counts none. A file of an earlier
# version lacks them. An earlier version that opens this file keeps them up to date without knowing them.
_ACCESS = (
    "CREATE INDEX IF NOT EXISTS proofs_waiting ON proofs (kind, state, due_at) WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS proofs_waiting_of_chain ON proofs (kind, state, chain_id, due_at)"
    " WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS proofs_queued_since ON proofs (created_at) WHERE state = 'queued'",
    "CREATE INDEX IF NOT EXISTS proofs_in_no_block ON proofs (chain_id, account_nonce)"
    " WHERE state = 'sent' AND mined_block IS NULL",
    "CREATE TABLE IF NOT EXISTS open_proofs (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO open_proofs SELECT 1, count(*) FROM proofs WHERE ended_at IS NULL",
    "CREATE TRIGGER IF NOT EXISTS proof_opens AFTER INSERT ON proofs WHEN NEW.ended_at IS NULL"
    " BEGIN UPDATE open_proofs SET count = count + 1; END",
    "CREATE TRIGGER IF NOT EXISTS proof_ends AFTER UPDATE OF ended_at ON proofs"
    " WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL BEGIN UPDATE open_proofs SET count = count - 1; END",
    "CREATE TRIGGER IF NOT EXISTS proof_vanishes AFTER DELETE ON proofs WHEN OLD.ended_at IS NULL"
    " BEGIN UPDATE open_proofs SET count = count - 1; END",
)
_COLUMNS = "id, record, created_at, attempts, misses, account_nonce, mined_block"


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that was signed for a proof."""

    signed: SignedTransaction
    signed_at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A proof in the queue. `sent`: its transactions, the newest last, all with the same `account_nonce`."""

    id: int
    proof: Proof
    created_at: float
    attempts: int
    misses: int
    account_nonce: int | None
    mined_block: int | None
    sent: tuple[Sent, ...]


def open_queue(path: Path, *, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open or create the file for this user alone. It holds consumers' signatures. Raises StoreError, sqlite3.Error."""
    connection = open_private(path, busy_timeout_seconds=busy_timeout_seconds)
    try:
        _ensure_schema(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection):
        version = schema_version(connection)
        if version not in (0, _SCHEMA_VERSION):
            raise StoreError(detail=f"{path}: schema version {version} is not ours ({_SCHEMA_VERSION})")
        # The last two are separate from the table: an earlier version ignores them.
        for statement in (*(_SCHEMA if version == 0 else ()), *budget.SCHEMA, *_ACCESS):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


@dataclass(frozen=True, slots=True)
class Inserted:
    """The number of proofs that were queued, and of those that would have cost too much."""

    queued: int
    beyond_budget: int


def insert(
    connection: sqlite3.Connection,
    kind: str,
    proofs: Sequence[Proof],
    now: float,
    *,
    max_queued: int,
    allowed: Budget | None,
) -> Inserted:
    """Queue the proofs that the budget `allowed` covers (None: all), as long as there is room."""
    rows: list[tuple[object, ...]] = []
    beyond_budget = 0
    with transaction(connection):
        room = max(max_queued - count_open(connection), 0)
        for proof in proofs:
            if len(rows) == room:
                break
            if allowed is None or allowed.take(connection, proof, now):
                rows.append((kind, proof.chain_id, proof.to_json(), now, now))
            else:
                beyond_budget += 1
        connection.executemany(
            "INSERT INTO proofs (kind, chain_id, state, record, created_at, due_at) VALUES (?, ?, 'queued', ?, ?, ?)",
            rows,
        )
    return Inserted(len(rows), beyond_budget)


def count_open(connection: sqlite3.Connection) -> int:
    """Count proofs that have not ended."""
    (count,) = connection.execute("SELECT count FROM open_proofs").fetchone()
    return int(count)


def due(
    connection: sqlite3.Connection, kind: str, state: str, *, chain_id: int | None, now: float, limit: int
) -> list[Entry]:
    """Return the open proofs of one state that are due, the longest due first. `chain_id` None: of every chain."""
    of_chain = "" if chain_id is None else " AND chain_id = :chain"
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM proofs WHERE ended_at IS NULL AND kind = :kind AND state = :state{of_chain}"  # noqa: S608
        " AND due_at <= :now ORDER BY due_at, id LIMIT :count",
        {"now": now, "kind": kind, "state": state, "chain": chain_id, "count": limit},
    ).fetchall()
    return [
        Entry(
            id=number,
            proof=Proof.from_json(record),
            created_at=created_at,
            attempts=attempts,
            misses=misses,
            account_nonce=account_nonce,
            mined_block=mined_block,
            sent=_sent_for(connection, number),
        )
        for number, record, created_at, attempts, misses, account_nonce, mined_block in rows
    ]


def _sent_for(connection: sqlite3.Connection, proof_id: int) -> tuple[Sent, ...]:
    rows = connection.execute(
        "SELECT tx_id, raw, max_fee_wei, tip_wei, signed_at FROM transactions WHERE proof_id = ? ORDER BY rowid",
        (proof_id,),
    )
    return tuple(Sent(SignedTransaction(tx_id, raw, Fee(fee, tip)), at) for tx_id, raw, fee, tip, at in rows)


def held_nonces(connection: sqlite3.Connection, chain_id: int) -> frozenset[int]:
    """Return the account nonces of our transactions that are in no block as far as we know."""
    rows = connection.execute(
        "SELECT account_nonce FROM proofs WHERE state = 'sent' AND mined_block IS NULL AND chain_id = ?",
        (chain_id,),
    )
    return frozenset(number for (number,) in rows)


def record_signed(
    connection: sqlite3.Connection,
    entry: Entry,
    account_nonce: int,
    signed: SignedTransaction,
    *,
    now: float,
    due_at: float,
) -> None:
    """Store a proof's transaction before it is first sent, or a further transaction with the same nonce."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)",
            (signed.tx_id, entry.id, signed.raw, signed.fee.max_fee_wei, signed.fee.tip_wei, now),
        )
        connection.execute(
            "UPDATE proofs SET state = 'sent', account_nonce = ?, due_at = ?, misses = 0 WHERE id = ?",
            (account_nonce, due_at, entry.id),
        )


def release(connection: sqlite3.Connection, entry: Entry, due_at: float) -> None:
    """Return it to the queue, because its transactions can no longer enter the chain."""
    with transaction(connection):
        connection.execute("DELETE FROM transactions WHERE proof_id = ?", (entry.id,))
        connection.execute(
            "UPDATE proofs SET state = 'queued', account_nonce = NULL, mined_block = NULL, misses = 0,"
            " attempts = attempts + 1, due_at = ? WHERE id = ?",
            (due_at, entry.id),
        )


def retry(connection: sqlite3.Connection, entry: Entry, due_at: float) -> None:
    """Record a failed attempt."""
    with transaction(connection):
        connection.execute("UPDATE proofs SET attempts = attempts + 1, due_at = ? WHERE id = ?", (due_at, entry.id))


def defer(connection: sqlite3.Connection, entries: Iterable[Entry], due_at: float) -> None:
    """Postpone proofs without counting an attempt."""
    with transaction(connection):
        connection.executemany("UPDATE proofs SET due_at = ? WHERE id = ?", [(due_at, entry.id) for entry in entries])


def seen(connection: sqlite3.Connection, entry: Entry, mined_block: int | None, misses: int, due_at: float) -> None:
    """Record what the chain says about a sent proof."""
    with transaction(connection):
        connection.execute(
            "UPDATE proofs SET mined_block = ?, misses = ?, due_at = ? WHERE id = ?",
            (mined_block, misses, due_at, entry.id),
        )


def end(connection: sqlite3.Connection, entry: Entry, state: str, reason: str, now: float) -> None:
    """Mark as `confirmed` or `given_up`. What was signed is deleted; ids of transactions are kept."""
    with transaction(connection):
        connection.execute(
            "UPDATE proofs SET state = ?, reason = ?, ended_at = ?, record = '' WHERE id = ?",
            (state, reason, now, entry.id),
        )
        connection.execute("UPDATE transactions SET raw = x'' WHERE proof_id = ?", (entry.id,))


def expire(connection: sqlite3.Connection, *, created_before: float, due_before: float, now: float) -> list[str]:
    """Give up queued proofs that are too old, of any kind and chain. Returns the kind of each.

    A transaction that was sent cannot be recalled, so the chain decides about it, unless nobody has looked since
    `due_before` because its chain is no longer configured.
    """
    give_up = "UPDATE proofs SET state = 'given_up', reason = 'too old', ended_at = ?, record = '' WHERE"
    with transaction(connection):
        rows = [
            *connection.execute(f"{give_up} state = 'queued' AND created_at < ? RETURNING kind", (now, created_before)),
            *connection.execute(f"{give_up} ended_at IS NULL AND due_at < ? RETURNING kind", (now, due_before)),
        ]
    return [kind for (kind,) in rows]


def forget(connection: sqlite3.Connection, *, ended_before: float, now: float) -> None:
    """Delete proofs that ended long ago."""
    with transaction(connection):
        connection.execute(
            "DELETE FROM transactions WHERE proof_id IN (SELECT id FROM proofs WHERE ended_at < ?)", (ended_before,)
        )
        connection.execute("DELETE FROM proofs WHERE ended_at < ?", (ended_before,))
        budget.forget(connection, now)
