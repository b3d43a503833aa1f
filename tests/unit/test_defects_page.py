"""docs/defects.md leaves no number out and names tests that exist."""

import re
from pathlib import Path

from tests.support.syntax import functions_of

TESTS = Path(__file__).parent.parent
PART_ONE, PART_TWO = (TESTS.parent / "docs" / "defects.md").read_text(encoding="utf-8").split("\n## Part two", 1)
OLD_SERVER = [line for line in PART_ONE.splitlines() if re.match(r"\| \d", line)]
# Rows in bold are headings of groups.
THIS_SERVER = [line for line in PART_TWO.splitlines() if re.match(r"\| (?!fault \||--- \||\*\*)", line)]
DEFECTS = 46


def is_defined(path: str, name: str) -> bool:
    return name in functions_of(TESTS / path)


def test_every_defect_has_its_row() -> None:
    assert [int(row.split("|")[1]) for row in OLD_SERVER] == list(range(1, DEFECTS + 1))


def test_every_row_of_part_two_names_fault_and_kind() -> None:
    assert len(THIS_SERVER) > 60
    for row in THIS_SERVER:
        _, fault, kind, shown_by, _ = row.split("|")
        assert fault.strip(), row
        assert kind.strip(), row
        assert shown_by.strip(), row


def test_every_row_names_tests_that_exist() -> None:
    for row in OLD_SERVER + THIS_SERVER:
        named = re.findall(r"`(\S+\.py)::(test_\w+)`", row.split("|")[-2])
        assert named, row
        for path, name in named:
            assert is_defined(path, name), f"{path}::{name}"
