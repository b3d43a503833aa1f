"""The queue of proofs, by the number of waiting proofs."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.options import Options
from benchmarks.result import Figure, Row, figure
from provider.proofs import sql
from provider.proofs.proof import Proof

_WAITING = (1_000, 10_000, 100_000, 1_000_000)
_CALLS = 20
_NOW = 1_700_000_000.0


def rows(options: Options) -> list[Row]:
    """Measure queues in fresh files."""
    waiting = _WAITING[:3] if options.is_quick else _WAITING
    return [_row(count, options) for count in waiting]


def _row(count: int, options: Options) -> Row:
    proof = _proof()
    record = proof.to_json()
    with (
        tempfile.TemporaryDirectory(prefix="provider-bench-", dir=options.storage) as folder,
        closing(sql.open_queue(Path(folder) / "queue", busy_timeout_seconds=5)) as queue,
    ):
        queue.execute("BEGIN")
        queue.executemany(
            "INSERT INTO proofs (kind, chain_id, state, record, created_at, due_at)"
            " VALUES ('chain', 1, 'queued', ?, ?, ?)",
            ((record, _NOW + number / 1000, _NOW + number / 1000) for number in range(count)),
        )
        queue.execute("COMMIT")

        def timed(title: str, call: Callable[[], object]) -> tuple[Figure, ...]:
            return figure(f"{title} CPU ms", [_milliseconds(call) for _ in range(options.rounds * _CALLS)], 3)

        def insert() -> None:
            sql.insert(queue, "chain", [proof], _NOW, max_queued=10**9, allowed=None)

        def due() -> None:
            sql.due(queue, "chain", "sent", chain_id=1, now=_NOW, limit=16)

        return Row(
            f"proofs, {count:,} waiting",
            "provider",
            (*timed("insert", insert), *timed("due", due), *timed("tidy", lambda: _tidy(queue))),
        )


def _tidy(queue: sqlite3.Connection) -> None:
    sql.expire(queue, created_before=_NOW - 1, due_before=_NOW - 1, now=_NOW)
    sql.forget(queue, ended_before=_NOW - 1, now=_NOW)
    sql.count_open(queue)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return (time.thread_time() - began) * 1000


def _proof() -> Proof:
    return Proof(
        chain_id=1,
        datatoken="0x" + "ab" * 20,
        document_id="did:op:" + "0" * 64,
        service_id="s" * 64,
        file_index=0,
        downloaded_bytes=1,
        order_tx_id="0x" + "cd" * 32,
        consumer="0x" + "ef" * 20,
        messages=("m" * 80,),
        consumer_signature="0x" + "00" * 65,
    )
