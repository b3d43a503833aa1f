"""What bounds the transactions that a Provider pays for: in real SQLite, in memory."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from provider.proofs import budget
from provider.proofs.budget import DAY_SECONDS, KEPT_SECONDS, Budget
from provider.proofs.proof import Proof

NOW = 1_700_000_000.0
UNBOUNDED = Budget(0, per_order=0, per_day=0)
PROOF = Proof(
    chain_id=1,
    datatoken="0x" + "dD" * 20,
    document_id="did:op:" + "00" * 32,
    service_id="s",
    file_index=0,
    downloaded_bytes=1024,
    order_tx_id="0x" + "aB" * 32,
    consumer="0x" + "cC" * 20,
    messages=("m",),
    consumer_signature="0x",
)


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for statement in budget.SCHEMA:
        connection.execute(statement)
    yield connection
    connection.close()


def test_twenty_five_downloads_of_one_order_are_one_proof_in_a_period(file: sqlite3.Connection) -> None:
    bounds = replace(UNBOUNDED, period_seconds=DAY_SECONDS)
    taken = [bounds.take(file, replace(PROOF, downloaded_bytes=size), NOW + size) for size in range(25)]
    assert taken == [True] + [False] * 24
    assert bounds.take(file, PROOF, NOW + DAY_SECONDS)


@pytest.mark.parametrize(
    "change",
    [{"order_tx_id": "ab" * 32}, {"consumer": "0x" + "CC" * 20}, {"datatoken": "0x" + "dd" * 20}],
    ids=str,
)
def test_one_order_written_in_two_ways_is_one(file: sqlite3.Connection, change: dict[str, str]) -> None:
    bounds = replace(UNBOUNDED, period_seconds=10)
    assert bounds.take(file, PROOF, NOW)
    assert not bounds.take(file, replace(PROOF, **change), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"order_tx_id": "0x" + "01" * 32},
        {"consumer": "0x" + "02" * 20},
        {"datatoken": "0x" + "03" * 20},
        {"chain_id": 2},
    ],
    ids=str,
)
def test_other_orders_have_proofs_of_their_own(file: sqlite3.Connection, change: dict[str, object]) -> None:
    bounds = replace(UNBOUNDED, period_seconds=10)
    assert bounds.take(file, PROOF, NOW)
    assert bounds.take(file, replace(PROOF, **change), NOW)  # type: ignore[arg-type]


def test_an_order_has_so_many_proofs_whoever_consumes_and_however_long_it_lasts(file: sqlite3.Connection) -> None:
    bounds = Budget(10, per_order=4, per_day=0)
    days = [NOW + number * DAY_SECONDS for number in range(40)]
    taken = [bounds.take(file, replace(PROOF, consumer=f"0x{n % 2:040x}"), day) for n, day in enumerate(days)]
    assert taken == [True] * 4 + [False] * 36
    budget.forget(file, days[-1])
    assert not bounds.take(file, PROOF, days[-1])
    budget.forget(file, NOW + KEPT_SECONDS + 40 * DAY_SECONDS)
    assert bounds.take(file, PROOF, days[-1])


def test_a_chain_has_so_many_proofs_in_a_day(file: sqlite3.Connection) -> None:
    bounds = replace(UNBOUNDED, per_day=3)
    proofs = [replace(PROOF, order_tx_id=f"0x{number:064x}") for number in range(9)]
    assert [bounds.take(file, proof, NOW) for proof in proofs] == [True] * 3 + [False] * 6
    assert bounds.take(file, replace(PROOF, chain_id=5), NOW)
    # What was refused has taken nothing of its order.
    assert bounds.take(file, proofs[-1], NOW + DAY_SECONDS)


def test_clock_that_was_ahead_does_not_end_all_proofs(file: sqlite3.Connection) -> None:
    bounds = replace(UNBOUNDED, period_seconds=DAY_SECONDS)
    assert bounds.take(file, PROOF, NOW + 9 * DAY_SECONDS)
    assert bounds.take(file, PROOF, NOW)


def test_nothing_is_bounded_where_the_operator_wants_it(file: sqlite3.Connection) -> None:
    assert all(UNBOUNDED.take(file, PROOF, NOW) for _ in range(50))
