"""docs/links.md has no recipe that nobody runs, and what the recipes for Python import can be installed."""

import ast
import configparser
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.recipes import PAGE, recipes

TOOLS = Path(__file__).parents[1] / "tools"
BLOCKS = re.findall(r"^```(\w+)( ?[\w-]*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_recipe_is_run_by_a_test() -> None:
    texts = "".join(path.read_text() for path in TOOLS.glob("test_*.py"))
    quoted = set(re.findall(r"[\"']([\w-]+)[\"']", texts))
    assert [name for name in recipes() if name not in quoted] == []


def test_what_is_to_be_run_has_a_name() -> None:
    assert {kind for kind, name in BLOCKS if not name} == {"json"}


def test_the_extra_installs_what_recipes_for_python_import() -> None:
    config = configparser.ConfigParser()
    config.read(PAGE.parents[1] / "setup.cfg")
    extra = {Requirement(line).name for line in config["options.extras_require"]["test-tools"].split()}
    python = [ast.parse(text) for name, text in recipes().items() if f"```python {name}\n" in PAGE.read_text()]
    assert len(python) >= 5
    imported = {
        alias.name for tree in python for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) <= extra
