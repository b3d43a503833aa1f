"""docs/defects.md leaves no number out and names tests that exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
ROWS = [line for line in (TESTS.parent / "docs" / "defects.md").read_text().splitlines() if re.match(r"\| \d", line)]
DEFECTS = 46


def is_defined(path: str, name: str) -> bool:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name for node in tree.body)


def test_every_defect_has_its_row() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, DEFECTS + 1))


def test_every_row_names_tests_that_exist() -> None:
    for row in ROWS:
        named = re.findall(r"`(\S+\.py)::(test_\w+)`", row.split("|")[4])
        assert named, row
        for path, name in named:
            assert is_defined(path, name), f"{path}::{name}"
