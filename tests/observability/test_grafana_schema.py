"""The Grafana dashboard's file against `@grafana/schema`, the types that Grafana publishes with each version."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.dashboard_model import CONF, MODEL, PANELS
from tests.support.client_installs import CLIENTS, install_npm, node_is_here

if not node_is_here():
    pytest.skip("Node.js and npm are not installed", allow_module_level=True)

RAW = "@grafana/schema/dist/types/raw"
KINDS = {
    "timeseries": "TimeSeries",
    "stat": "Stat",
    "heatmap": "Heatmap",
    "state-timeline": "StateTimeline",
    "bargauge": "BarGauge",
}
"""Kinds of panels, as their types are called."""
OF_PROMETHEUS = ("expr", "titleFormat", "textFormat", "step")
"""Fields of an annotation that the data source reads (`@grafana/prometheus`), and that no type names."""
# Files have texts where the types have enumerations.
WIRE = """
type Wire<T> = T extends string ? `${T}` : T extends (infer Item)[] ? Wire<Item>[]
  : T extends object ? { [Key in keyof T]: Wire<T[Key]> } : T;
"""


def source(model: dict[str, Any]) -> str:
    """A program that has the right types if the model fits: literals may not have fields that no type names."""
    lines = [f'import type {{ Dashboard }} from "{RAW}/dashboard/x/dashboard_types.gen";']
    for name in KINDS.values():
        path = f"{RAW}/composable/{name.lower()}/panelcfg/x/{name}PanelCfg_types.gen"
        lines.append(f'import type * as {name} from "{path}";')
    lines += [WIRE, f"export const dashboard: Wire<Dashboard> = {json.dumps(model, indent=1)};"]
    for panel in model["panels"]:
        if panel["type"] in KINDS:
            of = f"Wire<Partial<{KINDS[panel['type']]}"
            custom = panel["fieldConfig"]["defaults"]["custom"]
            lines.append(f"export const options{panel['id']}: {of}.Options>> = {json.dumps(panel['options'])};")
            if custom:
                lines.append(f"export const custom{panel['id']}: {of}.FieldConfig>> = {json.dumps(custom)};")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def grafana() -> Path:
    """A folder with the types and their checker."""
    return install_npm("grafana")


def faults(folder: Path, tmp_path: Path, **models: dict[str, Any]) -> dict[str, list[str]]:
    """What does not fit in each model. One run of the checker reads all of them, as it spends its time on the types."""
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    for name, changed in models.items():
        model = json.loads(json.dumps(changed))
        (annotation,) = model["annotations"]["list"]
        for field in OF_PROMETHEUS:
            del annotation[field]
        (tmp_path / f"{name}.ts").write_text(source(model))
    compiler = folder / "node_modules/typescript/lib/tsc.js"
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "node10")
    files = [f"{name}.ts" for name in models]
    command = ["node", str(compiler), *options, "--ignoreDeprecations", "5.0", "--preserveSymlinks", *files]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    found = re.findall(r"(?m)^(\w+)\.ts\(.*?error TS\d+: (.*)", checked.stdout)
    assert bool(found) == bool(checked.returncode), checked.stdout + checked.stderr
    return {name: [text for file, text in found if file == name] for name in models}


WRONG: dict[str, tuple[tuple[Any, ...], object]] = {
    "refresh": (("refresh",), 30),
    "width": (("panels", 1, "gridPos", "width"), 3),
    "colour_mode": (("panels", 1, "options", "colorMode"), "rainbow"),
    "colour": (("panels", 1, "fieldConfig", "defaults", "color", "mode"), "none-such"),
    "data_source": (("templating", "list", 0, "type"), "datasources"),
}


def wrong(place: tuple[Any, ...], value: object) -> dict[str, Any]:
    """The dashboard with another value at one place."""
    model: dict[str, Any] = json.loads(json.dumps(MODEL))
    *path, last = place
    inner: Any = model
    for step in path:
        inner = inner[step]
    inner[last] = value
    return model


def test_the_dashboard_fits_the_types_of_grafana_and_a_wrong_field_is_noticed(grafana: Path, tmp_path: Path) -> None:
    assert {panel["type"] for panel in PANELS} == KINDS.keys()
    found = faults(grafana, tmp_path, dashboard=MODEL, **{name: wrong(*changed) for name, changed in WRONG.items()})
    assert found.pop("dashboard") == []
    assert {name: len(told) > 0 for name, told in found.items()} == dict.fromkeys(WRONG, True)


def test_the_types_are_those_of_the_grafana_in_compose() -> None:
    services = yaml.safe_load((CONF / "docker-compose.yml").read_text())["services"]
    wanted = json.loads((CLIENTS / "grafana/package.json").read_text())["dependencies"]["@grafana/schema"]
    assert services["grafana"]["image"] == f"grafana/grafana:{wanted}"
