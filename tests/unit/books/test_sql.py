"""Records in the books: written, summed up, and deleted."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provider.books import sql
from provider.books.config import BooksConfig
from provider.books.probes import SoldFile
from provider.books.reading import Question, first_day, records, sold_files, sums
from provider.books.record import Use
from provider.errors import StoreError
from tests.support.books import ANN, BOB, NOW, did, use

TODAY = int(NOW // sql.DAY_SECONDS)
ALL = Question(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books"


@pytest.fixture
def file(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sql.open_books(path, busy_timeout_seconds=5)
    yield connection
    connection.close()


def write(file: sqlite3.Connection, *uses: Use, now: float = NOW, writer: sql.Writer | None = None) -> None:
    (writer or sql.Writer(BooksConfig())).write(file, uses, now)


def test_a_record_tells_who_took_what(file: sqlite3.Connection, path: Path) -> None:
    write(file, use(cached_bytes=40))
    (row,) = records([path], ALL)
    assert row == (
        "2027-01-15T08:00:00.000Z",
        "download",
        did(1),
        "s",
        0,
        "",
        ANN,
        "0x" + "c" * 64,
        1,
        "",
        "complete",
        "",
        1,
        100,
        40,
        0,
        "copy",
        0.5,
    )


def test_the_file_is_for_its_owner_only(file: sqlite3.Connection, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_sums_say_whose_fault_it_was(file: sqlite3.Connection, path: Path) -> None:
    ends = ("complete", "complete", "upstream_refused", "consumer_gone", "chain_unavailable")
    write(file, *(use(outcome=end) for end in ends), use(2, BOB))
    found = sums([path], "dataset", ALL)
    one = found[did(1)]
    assert (one.uses, one.complete, one.origin, one.consumer, one.ours) == (5, 2, 1, 1, 1)
    assert (one.sent_bytes, one.requests, one.buyers, one.seconds) == (500, 5, 1, 2.5)
    assert list(found) == [did(1), did(2)]
    assert {outcome: row.uses for outcome, row in sums([path], "outcome", ALL).items()} == {
        "complete": 3,
        "upstream_refused": 1,
        "consumer_gone": 1,
        "chain_unavailable": 1,
    }
    assert {who: row.uses for who, row in sums([path], "consumer", ALL).items()} == {ANN: 5, BOB: 1}


@pytest.mark.parametrize("by", ["dataset", "consumer", "day", "outcome"])
def test_every_sum_is_that_of_the_records(file: sqlite3.Connection, path: Path, by: str) -> None:
    """The sums of days are kept beside the records; both must tell the same."""
    writer, ends = sql.Writer(BooksConfig()), ("complete", "upstream_refused", "consumer_gone")
    for step in range(60):
        link = f"link{step % 4}" if step % 3 == 0 else ""
        taken = use(step % 5, (ANN, BOB)[step % 2], ends[step % 3], at=NOW + step * 7000, link=link)
        write(file, taken, writer=writer)
    key = {"dataset": "did", "day": "substr(ended, 1, 10)"}.get(by, by)
    counted = {
        key: (uses, requests, sent)
        for key, uses, requests, sent in file.execute(
            f"SELECT {key}, count(*), sum(requests), sum(bytes) FROM usage GROUP BY 1"
        )
    }
    found = sums([path], by, ALL)  # type: ignore[arg-type]
    assert {name: (row.uses, row.requests, row.sent_bytes) for name, row in found.items()} == counted
    assert len(counted) > 1


def test_one_dataset_can_be_asked_for(file: sqlite3.Connection, path: Path) -> None:
    write(file, use(1), use(1, BOB), use(2))
    question = Question(0, did(1))
    assert list(sums([path], "dataset", question)) == [did(1)]
    assert sums([path], "day", question)["2027-01-15"].uses == 2
    assert {who: row.uses for who, row in sums([path], "consumer", question).items()} == {ANN: 1, BOB: 1}
    assert len(list(records([path], question))) == 2


def test_days_before_are_left_out(file: sqlite3.Connection, path: Path) -> None:
    write(file, use(1, BOB, at=NOW - 3 * sql.DAY_SECONDS), use(1))
    asked = Question(TODAY - 2)
    assert (sums([path], "dataset", asked)[did(1)].uses, sums([path], "dataset", asked)[did(1)].buyers) == (1, 1)
    assert list(sums([path], "day", ALL)) == ["2027-01-12", "2027-01-15"]
    assert len(list(records([path], asked))) == 1


@pytest.mark.parametrize(("since", "day"), [("0d", TODAY), ("7d", TODAY - 7), ("1970-01-02", 1), ("2027-01-15", TODAY)])
def test_a_time_begins_with_its_day(since: str, day: int) -> None:
    assert first_day(since, NOW) == day


@pytest.mark.parametrize("since", ["", "d", "7", "7h", "-1d", "2027-13-01", "٣d", "9" * 9 + "d"])
def test_other_times_are_refused(since: str) -> None:
    with pytest.raises(ValueError, match="such as 7d"):
        first_day(since, NOW)


# Links


def test_ranges_of_a_link_are_one_record(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig())
    for step in range(3):
        ranges = [use(link="one", at=NOW + step, is_part=True) for _ in range(10)]
        write(file, *ranges, use(link="two", at=NOW + step), writer=writer)
    rows = {row[9]: (row[12], row[13], row[15]) for row in records([path], ALL)}
    assert rows == {"one": (30, 3000, 1), "two": (3, 300, 0)}
    assert sums([path], "dataset", ALL)[did(1)].uses == 2


def test_each_outcome_of_a_link_is_a_record(file: sqlite3.Connection, path: Path) -> None:
    write(file, use(link="one"), use(link="one", outcome="consumer_gone"), use(link="one"))
    assert {row[10]: row[12] for row in records([path], ALL)} == {"complete": 2, "consumer_gone": 1}


def test_a_link_that_was_idle_begins_a_new_record(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig())
    for at in (0, sql.SESSION_SECONDS - 1, 3 * sql.SESSION_SECONDS):
        write(file, use(link="one", at=NOW + at), writer=writer)
    assert [row[12] for row in records([path], ALL)] == [2, 1]


def test_a_link_whose_record_was_deleted_gets_a_new_one(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig())
    write(file, use(link="one"), writer=writer)
    file.execute("DELETE FROM records")
    write(file, use(link="one", at=NOW + 1), writer=writer)
    assert [row[12] for row in records([path], ALL)] == [1]


def test_a_link_does_not_write_into_the_record_of_another(file: sqlite3.Connection, path: Path) -> None:
    """SQLite gives the number of a deleted last row to the next one."""
    writer, other = sql.Writer(BooksConfig()), sql.Writer(BooksConfig())
    write(file, use(link="one"), writer=writer)
    file.execute("DELETE FROM records")
    write(file, use(link="two", at=NOW + 1), writer=other)
    write(file, use(link="one", at=NOW + 2), writer=writer)
    assert [(row[9], row[12]) for row in records([path], ALL)] == [("two", 1), ("one", 1)]


def test_after_a_failure_a_link_goes_on_with_what_is_in_the_file(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig())
    file.execute("CREATE TEMP TRIGGER broken BEFORE INSERT ON buyers BEGIN SELECT raise(ABORT, 'broken'); END")
    with pytest.raises(sqlite3.Error):
        write(file, use(link="one"), writer=writer)
    file.execute("DROP TRIGGER broken")
    assert list(records([path], ALL)) == []
    write(file, use(link="one"), writer=writer)
    assert [row[12] for row in records([path], ALL)] == [1]
    assert sums([path], "dataset", ALL)[did(1)].uses == 1


# Strangers


def test_refusals_name_no_dataset_that_nobody_bought(file: sqlite3.Connection, path: Path) -> None:
    write(file, use(1), *(use(number, BOB, "order_not_found", is_bought=False) for number in range(1, 50)))
    assert {name: row.uses for name, row in sums([path], "dataset", ALL).items()} == {"": 48, did(1): 2}
    assert sums([path], "outcome", ALL)["order_not_found"].consumer == 49
    assert list(sums([path], "consumer", ALL)) == [ANN]
    assert sums([path], "dataset", ALL)[did(1)].buyers == 1
    assert len(list(records([path], ALL))) == 50


def test_refusals_push_out_refusals_only(file: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "MAX_REFUSALS", 20)
    write(file, use(1))
    for number in range(10):
        write(file, *(use(number, BOB, "order_not_found", is_bought=False) for _ in range(10)))
    outcomes = [row[10] for row in records([path], ALL)]
    assert (outcomes.count("complete"), outcomes.count("order_not_found")) == (1, 20)
    assert sums([path], "outcome", ALL)["order_not_found"].uses == 100


# Age and size


def test_old_records_and_sums_are_deleted(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig(max_age_days=10))
    write(file, use(1), use(1, BOB, "order_not_found", is_bought=False), writer=writer)
    later = NOW + 12 * sql.DAY_SECONDS
    write(file, use(2, at=later), now=later, writer=writer)
    assert [row[2] for row in records([path], ALL)] == [did(2)]
    assert list(sums([path], "dataset", ALL)) == [did(2)]
    assert list(sums([path], "consumer", ALL)) == [ANN]
    assert file.execute("SELECT count(*) FROM datasets").fetchone() == (2,)
    assert file.execute("SELECT count(*) FROM buyers").fetchone() == (1,)


def test_the_file_is_bounded_in_bytes(file: sqlite3.Connection, path: Path) -> None:
    """The oldest records go; the sums of their days stay."""
    config = BooksConfig(max_bytes=1 << 20)
    writer = sql.Writer(config)
    for step in range(40):
        write(file, *(use(step) for _ in range(500)), writer=writer)
    assert sql.used_bytes(file) < 1.3 * config.max_bytes
    kept = [row[2] for row in records([path], ALL)]
    assert kept[-1] == did(39)
    assert did(0) not in kept
    assert sums([path], "day", ALL)["2027-01-15"].uses == 20_000


def test_sums_go_when_they_alone_are_too_much(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig(max_bytes=100_000))
    before = NOW - sql.DAY_SECONDS
    write(file, *(use(number, at=before) for number in range(500)), now=before, writer=writer)
    for _ in range(4):
        write(file, use(), writer=writer)
    assert "2027-01-14" not in sums([path], "day", ALL)
    assert sql.used_bytes(file) < 200_000


# Files


def test_several_files_are_summed_up_together(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path, buyers in zip(paths, ((ANN, BOB), (BOB,)), strict=True):
        connection = sql.open_books(path, busy_timeout_seconds=5)
        write(connection, *(use(1, buyer) for buyer in buyers))
        connection.close()
    row = sums(paths, "dataset", ALL)[did(1)]
    assert (row.uses, row.buyers) == (3, 2)
    assert {who: row.uses for who, row in sums(paths, "consumer", ALL).items()} == {BOB: 2, ANN: 1}
    assert len(list(records(paths, ALL))) == 3


def test_what_is_no_file_of_the_books_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(StoreError) as missing:
        sums([other], "day", ALL)
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA user_version = 77")
    connection.close()
    with pytest.raises(StoreError) as foreign:
        sums([other], "day", ALL)
    with pytest.raises(StoreError):
        sql.open_books(other, busy_timeout_seconds=1)
    assert "no such file" in str(missing.value.detail)
    assert "version 77" in str(foreign.value.detail)


def test_sold_files_are_those_that_were_bought_and_taken_lately(file: sqlite3.Connection, path: Path) -> None:
    assert sold_files(path.with_name("none"), 0, 10) == []
    write(
        file,
        use(1, at=NOW - 100),
        use(1, BOB, "upstream_refused"),
        use(2, at=NOW - 5),
        use(3, at=NOW - 1000),
        use(4, is_bought=False),
        Use(consumer=ANN, job_id="job", is_bought=True, endpoint="computeResult", ended_at=NOW, outcome="complete"),
    )
    assert sold_files(path, NOW - 500, 10) == [SoldFile(did(1), "s", 0), SoldFile(did(2), "s", 0)]
    assert sold_files(path, NOW - 500, 1) == [SoldFile(did(1), "s", 0)]


def test_a_dataset_of_many_files_leaves_places_for_the_files_of_others(file: sqlite3.Connection, path: Path) -> None:
    many = [replace(use(1, at=NOW + index), file_index=index) for index in range(100)]
    write(file, use(2), use(3, at=NOW - 1), *many)
    assert sold_files(path, 0, 4) == [
        SoldFile(did(1), "s", 99),
        SoldFile(did(2), "s", 0),
        SoldFile(did(3), "s", 0),
        SoldFile(did(1), "s", 98),
    ]


def test_bytes_of_the_cache_are_summed_up(file: sqlite3.Connection, path: Path) -> None:
    writer = sql.Writer(BooksConfig())
    write(file, use(cached_bytes=100), use(cached_bytes=40), use(link="a", cached_bytes=1), writer=writer)
    write(file, use(link="a", cached_bytes=2), writer=writer)
    for by in ("dataset", "consumer", "day", "outcome"):
        (row,) = sums([path], by, ALL).values()
        assert (row.sent_bytes, row.cached_bytes) == (400, 143)
    (row,) = sums([path], "consumer", Question(0, did(1))).values()
    assert row.cached_bytes == 143


def test_a_file_that_is_being_made_is_not_called_another_s(tmp_path: Path) -> None:
    (tmp_path / "books").touch()
    with pytest.raises(StoreError) as refused:
        sums([tmp_path / "books"], "dataset", ALL)
    assert "is empty" in str(refused.value.detail)


def test_a_file_of_the_first_version_is_taken_over(file: sqlite3.Connection, path: Path) -> None:
    write(file, use())
    file.execute("DROP VIEW usage")
    for table in ("records", "refusals", "dataset_days", "consumer_days"):
        file.execute(f"ALTER TABLE {table} DROP COLUMN cached_bytes")
    file.execute("CREATE VIEW usage AS SELECT did FROM datasets")
    file.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreError) as refused:
        sums([path], "dataset", ALL)
    assert "schema version 1" in str(refused.value.detail)
    newer = sql.open_books(path, busy_timeout_seconds=5)
    write(newer, use(cached_bytes=7))
    newer.close()
    (row,) = sums([path], "dataset", ALL).values()
    assert (row.uses, row.sent_bytes, row.cached_bytes) == (2, 200, 7)
    assert len(list(records([path], ALL))) == 2
