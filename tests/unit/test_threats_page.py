"""docs/threats.md names tests that exist, at least one for each promise."""

import re

from tests.unit.test_defects_page import TESTS, is_defined

PAGE = (TESTS.parent / "docs" / "threats.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.split("## Ways in", 1)[1].splitlines() if line.startswith("| ") and "---" not in line]
TEST = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


def test_every_row_names_a_test() -> None:
    rows = [row for row in ROWS if not row.startswith("| An attacker may")]
    assert len(rows) > 20
    for row in rows:
        assert TEST.search(row.split("|")[-2]), row


def test_every_test_that_is_named_exists() -> None:
    named = set(TEST.findall(PAGE))
    assert [f"{path}::{name}" for path, name in sorted(named) if not (TESTS / path).is_file()] == []
    assert [f"{path}::{name}" for path, name in sorted(named) if name and not is_defined(path, name)] == []
