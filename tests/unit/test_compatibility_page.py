"""docs/compatibility.md names tests that exist, and leaves none of the clients' tests out."""

import re
from pathlib import Path

from tests.support.syntax import functions_of

REPOSITORY = Path(__file__).parent.parent.parent
CLIENTS = REPOSITORY / "tests" / "clients"
PAGE = (REPOSITORY / "docs" / "compatibility.md").read_text(encoding="utf-8")


def existing() -> set[str]:
    files = CLIENTS.glob("test_*.py")
    return {f"{path.name}::{name}" for path in files for name in functions_of(path) if name.startswith("test_")}


def rows() -> list[list[str]]:
    tables = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in tables if len(row) == 4 and row[0].strip() not in ("client", "---")]


def test_every_row_is_backed_by_a_test_that_exists() -> None:
    assert rows()
    for row in rows():
        named = re.fullmatch(r" `(\S+::\S+)` ", row[-1])
        assert named is not None, row
        assert named[1] in existing(), named[1]


def test_every_test_of_the_clients_has_a_row() -> None:
    assert existing() - {row[-1].strip(" `") for row in rows()} == set()
