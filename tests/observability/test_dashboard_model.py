"""The Grafana dashboard's file: current, laid out without gaps, and every panel explained."""

import re
import subprocess
import sys
from itertools import groupby

import yaml

from provider.observability.metrics.metrics import DECLARED
from tests.observability.dashboard_model import CONF, FILE, MODEL, PANELS, queries
from tests.observability.expressions import selectors

GRAFANA = CONF / "grafana"
COLUMNS = 24
# Of https://grafana.com: names of units that fields may have.
UNITS = {"short", "reqps", "ops", "percentunit", "s", "bytes", "Bps", "dtdurations"}
SECTIONS = [
    "At a glance",
    "Traffic",
    "Datasets",
    "Latency",
    "Streaming",
    "Links",
    "Chains",
    "Caches",
    "Slice cache",
    "Security",
    "Resources",
]


def test_file_is_what_the_generator_prints() -> None:
    printed = subprocess.run([sys.executable, str(GRAFANA / "dashboard.py")], capture_output=True, check=True).stdout
    assert printed.decode() == FILE.read_text(), "run: python conf/grafana/dashboard.py > conf/grafana/dashboards/…"


def test_sections_are_those_that_operators_look_for() -> None:
    assert [panel["title"] for panel in MODEL["panels"] if panel["type"] == "row"] == SECTIONS


def test_panels_have_ids_of_their_own_and_titles_of_their_own() -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in MODEL["panels"]]
        assert len(values) == len(set(values))


def test_each_line_of_panels_is_full_and_even() -> None:
    """No gaps and no overlaps, on whatever screen: Grafana stretches the 24 columns."""
    lines = groupby(
        sorted(MODEL["panels"], key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"])),
        lambda panel: panel["gridPos"]["y"],
    )
    top = 0
    for y, line in lines:
        places = [panel["gridPos"] for panel in line]
        assert y == top
        assert [place["x"] for place in places] == [
            sum(before["w"] for before in places[:at]) for at in range(len(places))
        ]
        assert sum(place["w"] for place in places) == COLUMNS
        assert len({place["h"] for place in places}) == 1
        top += places[0]["h"]


def test_each_panel_has_unit_words_legend_and_thresholds() -> None:
    for panel in PANELS:
        title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS, title
        assert panel["description"].endswith((".", "%.")), title
        assert all(target["legendFormat"] for target in panel["targets"]), title
        steps = defaults["thresholds"]["steps"]
        assert steps[0]["value"] is None, title
        assert [step["value"] for step in steps[1:]] == sorted(step["value"] for step in steps[1:]), title


def test_each_panel_asks_the_chosen_data_source_for_the_chosen_instances() -> None:
    for panel in PANELS:
        for target in (panel, *panel["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        for target in panel["targets"]:
            found = list(selectors(target["expr"]))
            assert found, target["expr"]
            for name, matchers in found:
                assert (matchers["job"], matchers["instance"]) == ("$job", "$instance"), target["expr"]
                family = DECLARED.get(name) or DECLARED.get(re.sub(r"_(bucket|sum|count)$", "", name))
                labels = {"job", "instance", *(family.labels if family else ())}
                assert family is not None or name == "up", target["expr"]
                assert set(matchers) <= labels, target["expr"]
                assert ("chain" in labels) == ("chain" in matchers), target["expr"]


def test_every_metric_is_on_the_dashboard() -> None:
    asked = {name for _, query in queries() for name, _ in selectors(query)}
    shown = {family for family in DECLARED if asked & {family, f"{family}_bucket", f"{family}_sum", f"{family}_count"}}
    assert set(DECLARED) - shown == set()


def test_variables_choose_data_source_job_instance_and_chain() -> None:
    variables = {variable["name"]: variable for variable in MODEL["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance", "chain"]
    used = set(re.findall(r"\$\{?(\w+)", FILE.read_text()))
    assert used == {*variables, "__rate_interval", "__all"}


def test_grafana_is_told_where_the_dashboard_and_prometheus_are() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (folder,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/provider.yml").read_text())["providers"]
    services = yaml.safe_load((CONF / "docker-compose.yml").read_text())["services"]
    scrape = yaml.safe_load((CONF / "prometheus/prometheus.yml").read_text())
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
    assert f"./grafana/dashboards:{folder['options']['path']}:ro" in services["grafana"]["volumes"]
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in services["grafana"]["volumes"]
    assert "./prometheus:/etc/prometheus:ro" in services["prometheus"]["volumes"]
    (job,) = (job for job in scrape["scrape_configs"] if job["job_name"] == "provider")
    assert job["static_configs"] == [{"targets": ["provider:8031"]}]
