"""What `provider usage` prints."""

import csv
import io
from pathlib import Path

import orjson
import pytest

from provider.books.config import BooksConfig
from provider.books.reading import By
from provider.books.record import Use
from provider.books.sql import Writer, open_books
from provider.commands.usage import usage
from tests.support.books import ANN, BOB, NOW, did, use


def printed(path: Path, *uses: Use, form: str = "table", by: By = "dataset", every_record: bool = False) -> str:
    """Return the command's output for these uses."""
    connection = open_books(path / "books", busy_timeout_seconds=5)
    Writer(BooksConfig()).write(connection, uses, NOW)
    connection.close()
    out = io.StringIO()
    told = usage([path / "books"], since="1970-01-01", by=by, did="", every_record=every_record, form=form, out=out)
    assert told == 0
    return out.getvalue()


def test_a_table_has_columns_with_units(tmp_path: Path) -> None:
    refused = use(2, BOB, "order_expired", is_bought=False, sent_bytes=0)
    assert [line.split() for line in printed(tmp_path, use(sent_bytes=3 << 30), use(), refused).splitlines()] == [
        [
            "dataset",
            "uses",
            "complete",
            "consumer_faults",
            "origin_faults",
            "our_faults",
            "requests",
            "bytes",
            "cached_bytes",
            "seconds",
            "buyers",
        ],
        [did(1), "2", "2", "0", "0", "0", "2", "3.0", "GiB", "0", "B", "1.0", "1"],
        ["(none)", "1", "0", "1", "0", "0", "1", "0", "B", "0", "B", "0.5", "0"],
    ]


def test_csv_and_json_have_plain_numbers(tmp_path: Path) -> None:
    taken = use(sent_bytes=3 << 30), use(consumer=BOB, outcome="upstream_refused", sent_bytes=0)
    (row, other) = csv.DictReader(io.StringIO(printed(tmp_path, *taken, form="csv", by="consumer")))
    assert (row["consumer"], row["bytes"], row["seconds"]) == (ANN, str(3 << 30), "0.5")
    assert (other["consumer"], other["origin_faults"]) == (BOB, "1")
    lines = printed(tmp_path, form="json", by="consumer").splitlines()
    assert [orjson.loads(line)["bytes"] for line in lines] == [3 << 30, 0]


def test_every_record_can_be_exported(tmp_path: Path) -> None:
    lines = printed(tmp_path, use(), use(2), form="json", every_record=True).splitlines()
    assert [orjson.loads(line)["did"] for line in lines] == [did(1), did(2)]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", '=HYPERLINK("x")', "a,b", 'a"b'])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    named = use()
    named.service_id = text
    (row,) = csv.DictReader(io.StringIO(printed(tmp_path, named, form="csv", every_record=True)))
    assert row["service"].removeprefix("'") == text
    assert row["service"][0] not in "=+-@"


def test_empty_books_print_the_head_only(tmp_path: Path) -> None:
    assert len(printed(tmp_path).splitlines()) == 1
