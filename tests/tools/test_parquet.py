"""`provider usage --parquet`: what the books hold, as DuckDB reads it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provider.books.config import BooksConfig
from provider.books.sql import Writer, open_books
from tests.support.books import ANN, BOB, NOW, did, use
from tests.support.recipes import needs

pytestmark = [needs("module:pyarrow"), needs("module:duckdb")]


@pytest.fixture
def books(tmp_path: Path) -> Path:
    path = tmp_path / "books"
    file = open_books(path, busy_timeout_seconds=5)
    link = use(2, BOB, "upstream_refused", link="abc", sent_bytes=3 << 40, cached_bytes=1 << 40, is_part=True)
    Writer(BooksConfig()).write(file, [use(at=NOW + 0.25), link, use(3, is_bought=False, outcome="order_expired")], NOW)
    file.close()
    return path


def export(books: Path, into: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "provider", "usage", str(books), "--since", "2020-01-01", "--parquet", str(into)]
    return subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=60)


def read(file: Path, columns: str) -> list[tuple[Any, ...]]:
    duckdb = pytest.importorskip("duckdb")

    found: list[tuple[Any, ...]] = duckdb.sql(f"SELECT {columns} FROM '{file}' ORDER BY did").fetchall()
    return found


def test_every_record_has_its_types(books: Path, tmp_path: Path) -> None:
    into = tmp_path / "usage.parquet"
    into.write_text("an older one")
    done = export(books, into)
    assert (done.returncode, done.stdout) == (0, f"3 records in {into}\n")
    assert read(into, "did, consumer, file, chain, outcome, fault, link, bytes, cached_bytes, part, seconds") == [
        (did(1), ANN, 0, 1, "complete", "", "", 100, 0, False, 0.5),
        (did(2), BOB, 0, 1, "upstream_refused", "origin", "abc", 3 << 40, 1 << 40, True, 0.5),
        (did(3), ANN, 0, 1, "order_expired", "consumer", "", 100, 0, False, 0.5),
    ]
    assert read(into, "epoch_ms(ended)")[0] == (int((NOW + 0.25) * 1000),)
    assert into.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob("usage*")] == ["usage.parquet"]


def test_nothing_is_written_through_a_link_or_into_a_file_that_others_may_read(books: Path, tmp_path: Path) -> None:
    into, part, other = (tmp_path / name for name in ("usage.parquet", "usage.parquet.part", "other"))
    other.write_text("of somebody else")
    part.symlink_to(other)
    assert export(books, into).returncode == 0
    assert (other.read_text(), into.is_symlink()) == ("of somebody else", False)
    part.write_text("left by a run that was killed")
    part.chmod(0o644)
    assert export(books, into).returncode == 0
    assert into.stat().st_mode & 0o777 == 0o600


def test_one_dataset_or_none(books: Path, tmp_path: Path) -> None:
    into = tmp_path / "usage.parquet"
    assert export(books, into, "--did", did(2)).returncode == 0
    assert read(into, "did") == [(did(2),)]
    assert export(books, into, "--did", did(9)).returncode == 0
    assert read(into, "did") == []


def test_a_failure_leaves_no_file(books: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.parquet"
    kept.write_text("an older one")
    done = export(tmp_path / "none", kept)
    assert (done.returncode, kept.read_text()) == (1, "an older one")
    assert not list(tmp_path.glob("*.part"))
    assert export(books, tmp_path / "no" / "usage.parquet").returncode == 1
    for folder in (Path("/"), tmp_path):
        assert export(books, folder).stderr == f"provider: {folder}: Is a directory\n"


def test_the_books_themselves_are_not_replaced(books: Path, tmp_path: Path) -> None:
    """A server may be writing them."""
    link, before = tmp_path / "link", books.read_bytes()
    link.symlink_to(books)
    for name in (books, link):
        done = export(books, name)
        assert (done.returncode, done.stderr) == (1, f"provider: {name}: the books are in this file\n")
    assert books.read_bytes() == before
