"""The Grafana dashboard as its file has it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONF = Path(__file__).parents[2] / "conf"
FILE = CONF / "grafana" / "dashboards" / "provider.json"
MODEL: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in MODEL["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Title and expression of every query."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']}: {target['legendFormat']}", target["expr"]
