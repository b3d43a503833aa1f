"""Rules of Prometheus: checked and tried by promtool, each alert with its paragraph in the runbook and its test."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from provider.errors.base import ProviderError
from provider.errors.document import STREAM_ENDS
from provider.observability.metrics.metrics import DECLARED
from tests.observability.expressions import rules, selectors
from tests.observability.live_prometheus import CONF, PROMTOOL, RULES

RUNBOOK = CONF.parent / "docs" / "runbook.md"
RULE_TESTS = sorted((CONF / "prometheus" / "tests").glob("*.yml"))
SEVERITIES = {"critical", "warning", "info"}
ALERTS: Mapping[str, dict[str, Any]] = {rule["alert"]: rule for rule in rules("alerts")}


def promtool(*arguments: object) -> None:
    if PROMTOOL is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    # Its garbage collector would take half of its time.
    environ = {**os.environ, "GOGC": "400"}
    done = subprocess.run([PROMTOOL, *map(str, arguments)], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def paragraphs() -> dict[str, str]:
    """Text of the runbook by the alert that heads it."""
    _, *parts = re.split(r"^### (\w+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", CONF / "prometheus" / "prometheus.yml")
    promtool("check", "rules", *sorted(RULES.glob("*.yml")))


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


def test_each_alert_says_what_it_means_and_where_to_read_on() -> None:
    for alert, rule in ALERTS.items():
        assert rule["labels"]["severity"] in SEVERITIES, alert
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, alert
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


def test_each_alert_has_its_paragraph_and_each_paragraph_its_alert() -> None:
    assert sorted(paragraphs()) == sorted(ALERTS)


def test_each_paragraph_tells_what_it_means_and_what_to_do() -> None:
    """It has steps, or links to an alert that has them."""
    for alert, paragraph in paragraphs().items():
        meaning, *steps = paragraph.strip().split("\n\n")
        assert len(meaning) > 40, alert
        assert steps or "](#" in meaning, alert


def test_links_of_the_runbook_lead_to_alerts() -> None:
    linked = re.findall(r"\[(\w+)\]\(#(\w+)\)", RUNBOOK.read_text())
    assert linked
    assert [(name, anchor) for name, anchor in linked if name not in ALERTS or anchor != name.lower()] == []


def fired_and_silent() -> Iterator[tuple[set[str], bool, set[str]]]:
    """Of each rule test: which alerts it wants to fire, whether it wants silence at a time, and its instances."""
    for file in RULE_TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            wanted = [sample["labels"] for expected in case["promql_expr_test"] for sample in expected["exp_samples"]]
            fired = {name for labels in wanted for name in re.findall(r'alertname="(\w+)"', labels)}
            is_silent = any(not expected["exp_samples"] for expected in case["promql_expr_test"])
            instances = {
                name for row in case["input_series"] for name in re.findall(r'instance="(\w+)"', row["series"])
            }
            yield fired, is_silent, instances


def test_each_alert_has_a_test_in_which_it_fires_beside_one_that_does_not() -> None:
    """Either at another time of the same test, or for an instance just below the limit."""
    held = [fired for fired, is_silent, instances in fired_and_silent() if is_silent or "under" in instances]
    assert ALERTS.keys() - set().union(*held) == set()


def names() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Rule, metric or recorded name, and matchers of all selectors."""
    for rule in (*rules("recording"), *ALERTS.values()):
        for name, matchers in selectors(rule["expr"]):
            yield rule.get("alert") or rule["record"], name, matchers


def test_rules_use_metrics_and_labels_that_exist() -> None:
    recorded = {rule["record"] for rule in rules("recording")}
    unknown = []
    for rule, name, matchers in names():
        family = DECLARED.get(re.sub(r"_(bucket|sum|count)$", "", name)) or DECLARED.get(name)
        labels = set(family.labels) | {"job", "instance"} if family else set(matchers)
        if (family is None and name not in recorded and name != "up") or not set(matchers) <= labels:
            unknown.append((rule, name, matchers))
    assert unknown == []


def test_rules_name_error_codes_that_exist() -> None:
    known = {error.code for error in subclasses(ProviderError)} | {"compute_environments_unavailable"}
    known |= {end for end, *_ in STREAM_ENDS}
    named = {code for _, _, matchers in names() for code in matchers.get("code", "").split("|") if code}
    assert named
    assert named - known == set()


def subclasses(kind: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)
