"""The queue's statements: what they find, whatever waits besides, and the count that is kept instead of counting."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provider.errors import StoreError
from provider.proofs import sql
from provider.proofs.budget import Budget
from provider.proofs.proof import Proof
from provider.proofs.transaction import Fee, SignedTransaction

NOW = 1_700_000_000.0
BUDGET = Budget(86_400, per_order=10, per_day=0)


def proof(number: int = 0, *, chain_id: int = 1) -> Proof:
    return Proof(
        chain_id=chain_id,
        datatoken="0x" + "ab" * 20,
        document_id="did:op:" + "0" * 64,
        service_id="s",
        file_index=0,
        downloaded_bytes=1,
        order_tx_id=f"0x{number:064x}",
        consumer="0x" + "cd" * 20,
        messages=("m",),
        consumer_signature="0x" + "00" * 65,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db.proofs"


@pytest.fixture
def queue(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sql.open_queue(path, busy_timeout_seconds=1)) as connection:
        yield connection


def add(queue: sqlite3.Connection, *proofs: Proof, kind: str = "chain", at: float = NOW, room: int = 1000) -> int:
    return sql.insert(queue, kind, proofs, at, max_queued=room, allowed=None).queued


def take(queue: sqlite3.Connection, state: str, *, kind: str = "chain", chain_id: int | None = 1) -> list[sql.Entry]:
    return sql.due(queue, kind, state, chain_id=chain_id, now=NOW, limit=16)


def sign(queue: sqlite3.Connection, entry: sql.Entry, nonce: int) -> None:
    signed = SignedTransaction(f"0x{entry.id:064x}", b"raw", Fee(1, 1))
    sql.record_signed(queue, entry, nonce, signed, now=NOW, due_at=NOW)


def counted(queue: sqlite3.Connection) -> int:
    (count,) = queue.execute("SELECT count(*) FROM proofs WHERE ended_at IS NULL").fetchone()
    return int(count)


def test_no_statement_walks_over_what_waits(queue: sqlite3.Connection) -> None:
    statements: list[str] = []
    add(queue, *(proof(number) for number in range(20)))
    sign(queue, take(queue, "queued")[0], 0)
    entry = take(queue, "queued")[0]
    queue.set_trace_callback(statements.append)
    sql.insert(queue, "chain", [proof(99)], NOW, max_queued=1000, allowed=BUDGET)
    sql.count_open(queue)
    for state in ("queued", "sent"):
        for chain_id in (1, None):
            take(queue, state, chain_id=chain_id)
    sql.held_nonces(queue, 1)
    sign(queue, entry, 1)
    sql.seen(queue, entry, 5, 0, NOW)
    sql.retry(queue, entry, NOW)
    sql.defer(queue, [entry], NOW)
    sql.release(queue, entry, NOW)
    sql.end(queue, entry, "confirmed", "", NOW)
    sql.expire(queue, created_before=NOW - 1, due_before=NOW - 1, now=NOW)
    sql.forget(queue, ended_before=NOW - 1, now=NOW)
    queue.set_trace_callback(None)
    looked = 0
    for statement in statements:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            plan = [row[3] for row in queue.execute(f"EXPLAIN QUERY PLAN {statement}")]
            walks = [step for step in plan if step.startswith("SCAN") and "open_proofs" not in step]
            # A table of days has a row for each day of the last week and chain.
            walks = [step for step in walks if "proven_days" not in step]
            assert not walks, f"{statement}: {plan}"
            assert not any("TEMP B-TREE" in step for step in plan), f"{statement}: {plan}"
            looked += 1
    assert looked > 15


@pytest.mark.parametrize("seed", range(5))
def test_the_kept_count_is_that_of_the_open_proofs(queue: sqlite3.Connection, seed: int) -> None:
    chance = random.Random(seed)
    for step in range(150):
        queued, sent = take(queue, "queued"), take(queue, "sent")
        what = chance.randrange(7)
        if what < 3:
            add(queue, *(proof(step) for _ in range(chance.randrange(1, 5))), at=NOW - chance.randrange(100))
        elif what == 3 and queued:
            sign(queue, queued[0], step)
        elif what == 4 and sent:
            sql.end(queue, sent[-1], "confirmed", "", NOW)
            sql.end(queue, sent[-1], "given_up", "twice", NOW)
        elif what == 5 and sent:
            sql.release(queue, sent[0], NOW)
        elif what == 6:
            sql.expire(queue, created_before=NOW - 80, due_before=NOW - 90, now=NOW)
            sql.forget(queue, ended_before=NOW + 1, now=NOW)
        assert sql.count_open(queue) == counted(queue)
    assert sql.count_open(queue) > 0


def test_a_full_queue_takes_no_more_whatever_was_open_before(queue: sqlite3.Connection) -> None:
    assert add(queue, *map(proof, range(5)), room=3) == 3
    assert add(queue, proof(6), room=3) == 0
    sql.end(queue, take(queue, "queued")[0], "confirmed", "", NOW)
    assert add(queue, proof(7), proof(8), room=3) == 1


def test_a_failed_insert_counts_nothing(queue: sqlite3.Connection) -> None:
    add(queue, proof())
    queue.execute("CREATE TRIGGER fails BEFORE INSERT ON proofs BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.Error):
        add(queue, proof(1))
    assert sql.count_open(queue) == counted(queue) == 1


def test_what_is_due_of_one_chain_and_of_all_comes_in_order(queue: sqlite3.Connection) -> None:
    for number, (chain_id, at) in enumerate([(1, 3.0), (2, 1.0), (1, 2.0), (1, NOW + 1), (2, 2.0)]):
        add(queue, proof(number, chain_id=chain_id), at=at)
    assert [entry.id for entry in take(queue, "queued", chain_id=1)] == [3, 1]
    assert [entry.id for entry in take(queue, "queued", chain_id=None)] == [2, 3, 5, 1]
    assert take(queue, "sent") == take(queue, "queued", kind="http") == []


def test_only_what_is_in_no_block_holds_an_account_nonce(queue: sqlite3.Connection) -> None:
    add(queue, *(proof(number) for number in range(4)), proof(5, chain_id=2))
    for nonce, entry in enumerate(take(queue, "queued", chain_id=None)):
        sign(queue, entry, nonce)
    first, second, *_ = take(queue, "sent")
    sql.seen(queue, first, 7, 0, NOW)
    sql.end(queue, second, "given_up", "", NOW)
    assert (sql.held_nonces(queue, 1), sql.held_nonces(queue, 2)) == ({2, 3}, {4})
    sql.seen(queue, first, None, 0, NOW)
    assert sql.held_nonces(queue, 1) == {0, 2, 3}


def _made_by_an_earlier_version(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in sql._SCHEMA:
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")
    return connection


OLD_INSERT = (
    "INSERT INTO proofs (kind, chain_id, state, record, created_at, due_at, ended_at)"
    " VALUES ('chain', 1, ?, ?, 1.0, 1.0, ?)"
)


def test_a_file_of_an_earlier_version_is_taken_over_and_may_go_back(path: Path) -> None:
    with closing(_made_by_an_earlier_version(path)) as old:
        for state, ended_at in (("queued", None), ("queued", None), ("confirmed", 5.0)):
            old.execute(OLD_INSERT, (state, proof().to_json(), ended_at))
    with closing(sql.open_queue(path, busy_timeout_seconds=1)) as queue:
        assert sql.count_open(queue) == 2
        assert len(take(queue, "queued")) == 2
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute(OLD_INSERT, ("queued", proof().to_json(), None))
        old.execute("UPDATE proofs SET state = 'given_up', ended_at = 9.0 WHERE id = 1")
    with closing(sql.open_queue(path, busy_timeout_seconds=1)) as queue:
        assert sql.count_open(queue) == counted(queue) == 2


def test_a_file_of_a_later_version_is_refused_and_left_alone(path: Path) -> None:
    with closing(_made_by_an_earlier_version(path)) as later:
        later.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError):
        sql.open_queue(path, busy_timeout_seconds=1)
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'open_proofs'").fetchall()
