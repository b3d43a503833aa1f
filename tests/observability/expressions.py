"""What an expression of Prometheus asks for: its selectors, read off its text."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.observability.live_prometheus import RULES

_SELECTOR = re.compile(r"\b((?:provider|process)_\w+|instance\w*:\w+:\w+|up)\b(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def rules(kind: str) -> list[dict[str, Any]]:
    """The rules of `recording` or `alerts`, in their order."""
    groups = yaml.safe_load((RULES / f"{kind}.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Name of a metric or recorded series, and the values that its labels have to match, whatever the operator."""
    for name, matchers in _SELECTOR.findall(expression):
        yield name, {label: value for label, _, value in _MATCHER.findall(matchers)}
