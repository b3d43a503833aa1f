"""Uses of nonces against the file: what is remembered saves statements and never decides against the file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider.auth import nonce_rows
from provider.auth.nonce_rows import NonceRows, last_nonce
from provider.auth.nonce_rule import MAX_RECENT, NonceUse
from provider.auth.sqlite_file import open_store
from tests.support.nonce_refusal import nonce_refusal

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


def test_a_group_of_known_addresses_costs_one_statement_each_and_one_commit(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    addresses = [f"0x{number:040x}" for number in range(100)]
    rows.use_all([NonceUse(address, "1") for address in addresses])
    group = [(address, "2") for address in addresses]
    assert statements(connection, rows, *group) == ["BEGIN", *["UPDATE"] * 100, "COMMIT"]
    assert {last_nonce(connection, address) for address in addresses} == {"2"}


@pytest.mark.parametrize("group", [[(A, "7")], [(B, "7"), (A, "7")]], ids=["alone", "in a group"])
def test_the_file_decides_when_another_process_was_there(
    connection: sqlite3.Connection, other: sqlite3.Connection, group: list[tuple[str, str]]
) -> None:
    rows = NonceRows(connection)
    rows.use_all(uses((A, "1"), (B, "1")))
    NonceRows(other).use_all(uses((A, "9")))
    answers = rows.use_all(uses(*group))
    assert [str(answer) for answer in answers if answer] == [nonce_refusal("9", "7")]
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
    assert told == [nonce_refusal("5", nonce)] * 2


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
WINDOW_UNITS = 600 * 1000


def passes(rows: NonceRows, *nonces: int | str) -> list[bool]:
    return accepted(rows, *((A, str(nonce)) for nonce in nonces))


def memory(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT memory FROM spent_nonces WHERE address = ?", (A,)).fetchone()[0])


def test_each_clock_value_in_the_window_is_accepted_once_in_any_order(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    oldest = CLOCK - WINDOW_UNITS
    assert passes(rows, CLOCK, CLOCK - 5, oldest, CLOCK - 7) == [True] * 4
    assert passes(rows, CLOCK, CLOCK - 5, f"{CLOCK - 7}.0", oldest, oldest - 1) == [False] * 5
    assert last_nonce(connection, A) == str(CLOCK)
    assert passes(rows, CLOCK + 10, oldest + 9, oldest + 10) == [True, False, True]


@pytest.mark.parametrize("scale", [1000, 10**6], ids=["us", "ns"])
def test_finer_clocks_have_the_same_window(connection: sqlite3.Connection, scale: int) -> None:
    rows = NonceRows(connection)
    now, oldest = CLOCK * scale, (CLOCK - WINDOW_UNITS) * scale
    assert passes(rows, now, oldest, oldest - 1, oldest, now - 1) == [True, True, False, False, True]


def test_a_nonce_of_the_window_costs_one_statement(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    passes(rows, CLOCK)
    assert statements(connection, rows, (A, str(CLOCK - 5))) == ["UPDATE"]


def test_refusal_in_the_window_has_the_documented_text(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    passes(rows, CLOCK)
    (answer,) = rows.use_all(uses((A, str(CLOCK))))
    assert str(answer) == nonce_refusal(CLOCK, CLOCK)


def test_nonces_from_before_an_upgrade_are_not_free(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO spent_nonces (address, nonce) VALUES (?, ?)", (A, str(CLOCK)))
    rows = NonceRows(connection)
    assert passes(rows, CLOCK - 9, CLOCK) == [False] * 2
    assert passes(rows, CLOCK + 9, CLOCK + 5, CLOCK, CLOCK - 5) == [True, True, False, False]


def test_a_taken_over_nonce_leaves_none_below_it_free(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    passes(rows, CLOCK - 100)
    rows.use_all([NonceUse(A, str(CLOCK), unknown_past=True)])
    assert passes(rows, CLOCK - 50, CLOCK + 9, CLOCK + 5) == [False, True, True]


@pytest.mark.parametrize("numbers", [["1", "2"], ["1699999999", "1700000000"], ["5e11", "6e11"], ["9" * 40, "9" * 41]])
def test_counters_seconds_and_large_numbers_must_rise(connection: sqlite3.Connection, numbers: list[str]) -> None:
    low, high = numbers
    assert passes(NonceRows(connection), high, low, high) == [True, False, False]


def test_what_has_left_the_window_is_forgotten(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    for step in range(50):
        assert passes(rows, CLOCK + step * WINDOW_UNITS // 10) == [True]
    assert len(memory(connection).split("|")[2].split()) == 10


@pytest.mark.parametrize("step", [1, 7, 4000])
def test_a_full_window_of_milliseconds_needs_no_page_beside_that_of_its_row(
    connection: sqlite3.Connection, step: int
) -> None:
    rows = NonceRows(connection)
    for number in range(200):
        assert passes(rows, CLOCK + number * step) == [True]
    nonce, held = connection.execute("SELECT nonce, memory FROM spent_nonces").fetchone()
    assert len(held.split("|")[2].split()) > 100
    # 1002 bytes of a row stay in its page (sqlite.org/fileformat2.html, section 1.6).
    assert len(A) + len(nonce) + len(held) < 1002 - 20
    assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert passes(NonceRows(connection), CLOCK + 150 * step, CLOCK + 199 * step + 1) == [False, True]


def test_rows_of_schema_version_3_are_read(connection: sqlite3.Connection) -> None:
    order = f"10{len(str(CLOCK))}"
    window = f"| {order}{CLOCK - 5} {order}{CLOCK - 3}|||"
    connection.execute("INSERT INTO spent_nonces VALUES (?, ?, ?, 7)", (A, str(CLOCK), window))
    assert passes(NonceRows(connection), CLOCK - 3, CLOCK - 5, CLOCK - 4, CLOCK + 1) == [False, False, True, True]


def test_what_is_remembered_of_one_address_is_bounded(connection: sqlite3.Connection) -> None:
    rows = NonceRows(connection)
    kept = MAX_RECENT // 18
    assert all(passes(rows, *range(CLOCK, CLOCK + 4 * kept, 2)))
    assert len(memory(connection)) < MAX_RECENT + 50
    newest = CLOCK + 4 * kept - 2
    assert passes(rows, newest - 1, newest - 2 * kept + 3, newest - 2 * kept - 3, CLOCK + 1, CLOCK) == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("memory", ["", "a|b"], ids=["no nonce", "damaged"])
def test_a_row_that_cannot_be_read_admits_nothing(connection: sqlite3.Connection, memory: str) -> None:
    connection.execute("INSERT INTO spent_nonces VALUES (?, ?, ?, 7)", (A, "5" if memory else "nan", memory))
    assert passes(NonceRows(connection), 6, CLOCK) == [False, False]


MIXED = st.lists(
    st.tuples(st.booleans(), st.integers(CLOCK - 2 * WINDOW_UNITS, CLOCK + 2 * WINDOW_UNITS)),
    max_size=25,
)


@given(MIXED, st.integers(1, 3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_each_nonce_of_the_window_is_accepted_exactly_once_whatever_the_order_and_the_process(
    connection: sqlite3.Connection, other: sqlite3.Connection, steps: list[tuple[bool, int]], times: int
) -> None:
    connection.execute("DELETE FROM spent_nonces")
    processes = NonceRows(connection), NonceRows(other)
    used: set[int] = set()
    greatest = 0
    for second, nonce in steps * times:
        expected = nonce not in used and nonce >= greatest - WINDOW_UNITS
        assert (processes[second].use_all(uses((A, str(nonce)))) == [None]) is expected
        if expected:
            used.add(nonce)
            greatest = max(greatest, nonce)
    assert last_nonce(connection, A) == (str(greatest) if used else None)
