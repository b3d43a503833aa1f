"""The Grafana dashboard. A test compares its file with what this prints:
`python conf/grafana/dashboard.py > conf/grafana/dashboards/provider.json`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from panels import GREEN, HERE, RED, ROWS, Panel

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
Json = dict[str, Any]

_KINDS: Mapping[str, tuple[Json, Json]] = {
    "timeseries": (
        {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False},
        {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    ),
    "stat": (
        {},
        {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "textMode": "value",
        },
    ),
    "heatmap": (
        {},
        {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "steps": 64,
                "exponent": 0.5,
                "fill": "dark-orange",
                "reverse": False,
            },
            "yAxis": {"unit": "s", "axisPlacement": "left"},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": False},
        },
    ),
    "state-timeline": (
        {"fillOpacity": 80, "lineWidth": 0},
        {
            "mergeValues": True,
            "showValue": "never",
            "rowHeight": 0.8,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    ),
    "bargauge": (
        {},
        {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "orientation": "horizontal",
            "displayMode": "basic",
            "showUnfilled": True,
        },
    ),
}


def dashboard() -> Json:
    """The whole model."""
    return {
        "uid": "ocean-provider",
        "title": "Provider",
        "description": "Metrics are explained in docs/metrics.md, alerts in docs/runbook.md.",
        "tags": ["ocean-protocol", "provider"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "liveNow": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "weekStart": "",
        "links": [],
        "annotations": {"list": [_alerts()]},
        "templating": {"list": _variables()},
        "panels": list(_laid_out()),
    }


def _alerts() -> Json:
    """Firing alerts as regions over all panels."""
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": RED,
        "expr": f'ALERTS{{alertstate="firing", alertname=~"Provider.*", severity!="info", {HERE}}}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{severity}}",
        "step": "60s",
    }


def _variables() -> list[Json]:
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "regex": "",
            "refresh": 1,
            "hide": 0,
            "multi": False,
            "includeAll": False,
            "options": [],
        },
        _variable("job", "Job", "label_values(provider_build_info, job)", several=False),
        _variable("instance", "Instance", 'label_values(provider_build_info{job=~"$job"}, instance)', several=True),
        _variable("chain", "Chain", f"label_values(provider_rpc_calls_total{{{HERE}}}, chain)", several=True),
    ]


def _variable(name: str, label: str, query: str, *, several: bool) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": query, "refId": "variable"},
        "regex": "",
        "refresh": 2,
        "sort": 3 if name == "chain" else 1,
        "hide": 0,
        "multi": several,
        "includeAll": several,
        **({"current": {"selected": True, "text": "All", "value": "$__all"}} if several else {}),
        "options": [],
    }


def _laid_out() -> Iterator[Json]:
    """Rows with their panels from left to right, each with its place."""
    number, top = 1, 0
    for title, panels in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": _place(0, top, COLUMNS, 1),
            "panels": [],
        }
        number, top, left = number + 1, top + 1, 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                left, top = 0, top + panel.height
            yield _model(panel, number, _place(left, top, panel.width, panel.height))
            number, left = number + 1, left + panel.width
        top += panels[-1].height


def _place(left: int, top: int, width: int, height: int) -> Json:
    return {"x": left, "y": top, "w": width, "h": height}


def _model(panel: Panel, number: int, place: Json) -> Json:
    custom, options = _KINDS[panel.kind]
    defaults: Json = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": _steps(panel)},
        "custom": custom | _drawn(panel),
        "mappings": [],
    }
    if panel.kind == "timeseries":
        defaults["min"] = 0
    extra = dict(panel.more)
    defaults["custom"] = defaults["custom"] | dict(extra.pop("custom", {}))  # type: ignore[call-overload]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(panel, chr(ord("A") + at), *query) for at, query in enumerate(panel.queries.items())],
        "fieldConfig": {
            "defaults": defaults | extra,
            "overrides": [_coloured(*rule) for rule in panel.colours.items()],
        },
        "options": options | dict(panel.options),
        "transparent": False,
    }


def _steps(panel: Panel) -> list[Json]:
    steps = panel.steps or {None: GREEN}
    return [{"color": colour, "value": value} for value, colour in steps.items()]


def _drawn(panel: Panel) -> Json:
    """How a time series is drawn: stacked or not, thresholds as lines."""
    if panel.kind != "timeseries":
        return {}
    return {
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "fillOpacity": 40 if panel.stacked else 10,
        "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
    }


def _target(panel: Panel, name: str, legend: str, query: str) -> Json:
    return {
        "refId": name,
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query,
        "legendFormat": legend,
        "range": panel.kind != "bargauge",
        "instant": panel.kind == "bargauge",
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
    }


def _coloured(names: str, colour: str) -> Json:
    """Series whose name matches have this colour; the limit line of a panel is dashed, too."""
    properties: list[Json] = [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]
    if colour == "gray":
        properties.append({"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}})
    return {"matcher": {"id": "byRegexp", "options": f"^{names}$"}, "properties": properties}


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
