"""Limits how many proofs are queued that the Provider pays for: statements over the queue's own file.

A consumer may download any number of times, so without a limit it would decide what the Provider spends. Rows are kept
for long: otherwise an order that never expires would get a new budget by waiting.
"""

import sqlite3
from dataclasses import dataclass

from provider.proofs.proof import Proof

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS proven_orders (chain_id INTEGER NOT NULL, datatoken TEXT NOT NULL,"
    " order_tx_id TEXT NOT NULL, consumer TEXT NOT NULL, last_at REAL NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY (chain_id, datatoken, order_tx_id, consumer)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS proven_orders_last ON proven_orders (last_at)",
    "CREATE TABLE IF NOT EXISTS proven_days (chain_id INTEGER NOT NULL, day INTEGER NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY (chain_id, day)) WITHOUT ROWID",
)
KEPT_SECONDS = 365 * 86_400.0
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits proofs: one per order and consumer in `period_seconds`, `per_order` per order, `per_day` per chain.

    Days are UTC; 0 means no limit.
    """

    period_seconds: float
    per_order: int
    per_day: int

    def take(self, connection: sqlite3.Connection, proof: Proof, now: float) -> bool:
        """Count one proof, inside a transaction; False if it would exceed a limit."""
        day = (proof.chain_id, int(now // DAY_SECONDS))
        order = (proof.chain_id, proof.datatoken.lower(), proof.order_tx_id[-64:].lower())
        consumer = proof.consumer.lower()
        if self._is_spent(connection, order, consumer, day, now):
            return False
        connection.execute(
            "INSERT INTO proven_orders VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE"
            " SET last_at = excluded.last_at, count = count + 1",
            (*order, consumer, now),
        )
        connection.execute("INSERT INTO proven_days VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", day)
        return True

    def _is_spent(
        self,
        connection: sqlite3.Connection,
        order: tuple[int, str, str],
        consumer: str,
        day: tuple[int, int],
        now: float,
    ) -> bool:
        (of_day,) = connection.execute(
            "SELECT coalesce(sum(count), 0) FROM proven_days WHERE chain_id = ? AND day = ?", day
        ).fetchone()
        if self.per_day and of_day >= self.per_day:
            return True
        rows = connection.execute(
            "SELECT consumer, last_at, count FROM proven_orders"
            " WHERE chain_id = ? AND datatoken = ? AND order_tx_id = ?",
            order,
        ).fetchall()
        if self.per_order and sum(count for _, _, count in rows) >= self.per_order:
            return True
        # A time in the future was written by a wrong clock.
        return any(name == consumer and 0 <= now - last_at < self.period_seconds for name, last_at, _ in rows)


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Delete rows from long ago."""
    connection.execute("DELETE FROM proven_orders WHERE last_at < ?", (now - KEPT_SECONDS,))
    connection.execute("DELETE FROM proven_days WHERE day < ?", (int(now // DAY_SECONDS) - 7,))
