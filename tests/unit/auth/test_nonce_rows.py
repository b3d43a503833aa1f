"""Uses of nonces against the file: what is remembered saves statements and never decides against the file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider.auth import nonce_rows
from provider.auth.nonce_rows import NonceRows, NonceUse, last_nonce
from provider.auth.sqlite_file import open_store

A, B, C = (f"0x{number:040x}" for number in (1, 2, 3))


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_store(tmp_path / "n.db", busy_timeout_seconds=5)
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path: Path, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """The connection of another process."""
    opened = open_store(tmp_path / "n.db", busy_timeout_seconds=5)
    yield opened
    opened.close()


def uses(*pairs: tuple[str, str]) -> list[NonceUse]:
    return [NonceUse(address, nonce) for address, nonce in pairs]


def accepted(rows: NonceRows, *pairs: tuple[str, str]) -> list[bool]:
    return [answer is None for answer in rows.use_all(uses(*pairs))]


def statements(connection: sqlite3.Connection, rows: NonceRows, *pairs: tuple[str, str]) -> list[str]:
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    assert all(accepted(rows, *pairs))
    connection.set_trace_callback(None)
    return [text.split()[0] for text in seen]


def test_a_known_address_costs_one_statement(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "1")))
    assert statements(connection, rows, (A, "2")) == ["UPDATE"]
    assert last_nonce(connection, A) == "2"


def test_a_group_of_known_addresses_costs_three_statements(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    addresses = [f"0x{number:040x}" for number in range(100)]
    rows.use_all([NonceUse(address, "1") for address in addresses])
    group = [(address, "2") for address in addresses]
    assert statements(connection, rows, *group) == ["BEGIN", "INSERT", "COMMIT"]
    assert {last_nonce(connection, address) for address in addresses} == {"2"}


@pytest.mark.parametrize("group", [[(A, "7")], [(B, "7"), (A, "7")]], ids=["alone", "in a group"])
def test_the_file_decides_when_another_process_was_there(
    connection: sqlite3.Connection, other: sqlite3.Connection, group: list[tuple[str, str]]
) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "1"), (B, "1")))
    NonceRows(other).use_all(uses((A, "9")))
    answers = rows.use_all(uses(*group))
    assert [str(answer) for answer in answers if answer] == [
        "Invalid signature expected nonce (9) > current nonce (7)."
    ]
    assert len([answer for answer in answers if answer is None]) == len(group) - 1
    assert last_nonce(connection, A) == "9"
    assert accepted(rows, (A, "9"), (A, "10")) == [False, True]


def test_a_nonce_above_that_of_another_process_is_accepted(
    connection: sqlite3.Connection, other: sqlite3.Connection
) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "1")))
    NonceRows(other).use_all(uses((A, "5")))
    assert accepted(rows, (A, "6")) == [True]
    assert last_nonce(other, A) == "6"


def test_one_address_may_come_several_times_in_a_group(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "1"), (B, "1")))
    assert accepted(rows, (A, "2"), (B, "2"), (A, "3")) == [True, True, True]
    assert accepted(rows, (A, "4"), (A, "4"), (B, "3")) == [True, False, True]
    assert (last_nonce(connection, A), last_nonce(connection, B)) == ("4", "3")


@pytest.mark.parametrize("nonce", ["5", "4", "4.99", "-6", "5.0", "5e0"])
def test_a_known_address_is_refused_as_an_unknown_one(connection: sqlite3.Connection, nonce: str) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "5")))
    told = [str(each.use_all(uses((A, nonce)))[0]) for each in (rows, NonceRows(connection))]
    assert told == [f"Invalid signature expected nonce (5) > current nonce ({nonce})."] * 2


@pytest.mark.parametrize("group", [[(A, "2")], [(A, "2"), (B, "2")]], ids=["alone", "in a group"])
def test_a_failed_commit_is_not_remembered(connection: sqlite3.Connection, group: list[tuple[str, str]]) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "1"), (B, "1")))
    for event in ("UPDATE", "INSERT"):
        connection.execute(
            f"CREATE TEMP TRIGGER fail_{event} BEFORE {event} ON spent_nonces BEGIN SELECT RAISE(ABORT, 'disk'); END"
        )
    with pytest.raises(sqlite3.Error):
        rows.use_all(uses(*group))
    assert not connection.in_transaction
    for event in ("UPDATE", "INSERT"):
        connection.execute(f"DROP TRIGGER fail_{event}")
    assert last_nonce(connection, A) == "1"
    assert all(accepted(rows, *group))


def test_what_is_remembered_is_bounded(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonce_rows, "MAX_REMEMBERED", 2)
    rows = NonceRows(connection)
    for address in (A, B, C):
        rows.use_all(uses((address, "1")))
    assert len(statements(connection, rows, (A, "2"))) > 1
    assert statements(connection, rows, (A, "3")) == ["UPDATE"]


STEPS = st.lists(
    st.tuples(st.booleans(), st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 12)), min_size=1, max_size=4)),
    max_size=8,
)


@given(STEPS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_two_processes_accept_exactly_what_rises(
    connection: sqlite3.Connection, other: sqlite3.Connection, steps: list[tuple[bool, list[tuple[str, int]]]]
) -> None:
    connection.execute("DELETE FROM spent_nonces")
    processes = NonceRows(connection), NonceRows(other)
    greatest: dict[str, int] = {}
    for second, pairs in steps:
        expected = []
        for address, nonce in pairs:
            rises = nonce > greatest.get(address, -1)
            expected.append(rises)
            if rises:
                greatest[address] = nonce
        assert accepted(processes[second], *((address, str(nonce)) for address, nonce in pairs)) == expected


# Windows

CLOCK = 1_700_000_000_000
WINDOW = 600
WINDOW_UNITS = WINDOW * 1000


def in_window(rows: NonceRows, *nonces: int | str) -> list[bool]:
    return [answer is None for answer in rows.use_all([NonceUse(A, str(nonce), WINDOW) for nonce in nonces])]


def test_each_nonce_in_the_window_is_accepted_once_in_any_order(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    oldest = CLOCK - WINDOW_UNITS
    assert in_window(rows, CLOCK, CLOCK - 5, oldest, CLOCK - 7) == [True] * 4
    assert in_window(rows, CLOCK, CLOCK - 5, f"{CLOCK - 7}.0", oldest, oldest - 1) == [False] * 5
    assert last_nonce(connection, A) == str(CLOCK)
    assert in_window(rows, CLOCK + 10, oldest + 9, oldest + 10) == [True, False, True]


def test_refusal_in_the_window_has_the_documented_text(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    in_window(rows, CLOCK)
    (answer,) = rows.use_all([NonceUse(A, str(CLOCK), WINDOW)])
    assert str(answer) == f"Invalid signature expected nonce ({CLOCK}) > current nonce ({CLOCK})."


def test_nonces_used_before_the_window_began_are_not_free_in_it(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    assert accepted(rows, (A, str(CLOCK - 9)), (A, str(CLOCK))) == [True, True]
    assert in_window(rows, CLOCK - 9, CLOCK - 5, CLOCK) == [False] * 3
    assert in_window(rows, CLOCK + 9, CLOCK + 5, CLOCK, CLOCK - 5) == [True, True, False, False]


def test_nonces_used_without_the_window_in_between_are_not_free_in_it(connection: sqlite3.Connection) -> None:
    """A compute environment may be unknown for a while, when the operator service is down."""
    rows = NonceRows(connection)
    assert in_window(rows, CLOCK) == [True]
    assert accepted(rows, (A, str(CLOCK + 5)), (A, str(CLOCK + 9))) == [True, True]
    assert in_window(rows, CLOCK + 9, CLOCK + 7, CLOCK + 5, CLOCK - 5, CLOCK + 10) == [False] * 4 + [True]


def test_without_the_window_nonces_rise_above_all_used_in_it(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    assert in_window(rows, CLOCK, CLOCK - 5) == [True, True]
    assert accepted(rows, (A, str(CLOCK - 7)), (A, str(CLOCK)), (A, str(CLOCK + 1))) == [False, False, True]


@pytest.mark.parametrize("counters", [["1", "2"], ["5e11", "6e11"], ["9" * 40, "9" * 41]])
def test_numbers_that_are_no_clock_values_must_rise(connection: sqlite3.Connection, counters: list[str]) -> None:
    rows = NonceRows(connection)
    low, high = counters
    assert in_window(rows, high, low, high) == [True, False, False]
    assert len(connection.execute("SELECT 1 FROM window_nonces").fetchall()) == 1


def test_rows_that_have_left_the_window_are_dropped(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    for step in range(50):
        assert in_window(rows, CLOCK + step * WINDOW_UNITS // 10) == [True]
    assert len(connection.execute("SELECT 1 FROM window_nonces").fetchall()) == 11


def test_stored_text_that_is_no_nonce_admits_nothing_in_a_window(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO spent_nonces VALUES (?, 'nan')", (A,))
    assert in_window(NonceRows(connection), CLOCK) == [False]


MIXED = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(CLOCK - 2 * WINDOW_UNITS, CLOCK + 2 * WINDOW_UNITS)),
    max_size=25,
)


@given(MIXED, st.integers(1, 3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_nonce_is_accepted_twice_whatever_the_order_and_the_process(
    connection: sqlite3.Connection, other: sqlite3.Connection, steps: list[tuple[bool, bool, int]], times: int
) -> None:
    connection.execute("DELETE FROM spent_nonces")
    connection.execute("DELETE FROM window_nonces")
    processes = NonceRows(connection), NonceRows(other)
    used: set[int] = set()
    greatest = 0
    for second, windowed, nonce in steps * times:
        use = NonceUse(A, str(nonce), WINDOW if windowed else 0)
        passed = processes[second].use_all([use]) == [None]
        assert not (passed and nonce in used)
        if nonce > greatest:
            assert passed
        elif not windowed or nonce < greatest - WINDOW_UNITS:
            assert not passed
        if passed:
            used.add(nonce)
            greatest = max(greatest, nonce)
    assert last_nonce(connection, A) == (str(greatest) if used else None)
