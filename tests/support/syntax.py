"""Python sources as syntax trees. Each file is parsed and walked once, however many rules look at it."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)


def nodes_of(path: Path, *classes: type[Node]) -> Iterator[Node]:
    """The nodes of a source that are of these classes, one class after the other."""
    by_class = _nodes_by_class(path)
    for one in classes:
        yield from by_class.get(one, ())  # type: ignore[misc]


def imported_modules(path: Path) -> set[str]:
    """The names of the modules that a source imports, or imports from."""
    found = {node.module for node in nodes_of(path, ast.ImportFrom) if node.module}
    return found | {alias.name for node in nodes_of(path, ast.Import) for alias in node.names}


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of the functions that a source defines outside of classes and of other functions."""
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, defined))


@cache
def _nodes_by_class(path: Path) -> Mapping[type[ast.AST], list[ast.AST]]:
    found: defaultdict[type[ast.AST], list[ast.AST]] = defaultdict(list)
    for node in ast.walk(ast.parse(path.read_text())):
        found[type(node)].append(node)
    return found
