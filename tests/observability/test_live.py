"""Every query of the dashboard and every rule against a real Prometheus that scraped real, busy servers."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.testing.child import Children
from provider.testing.stage import DemoChain
from tests.observability.busy import open_compute_shop, open_shop, running_secure_server
from tests.observability.dashboard_model import MODEL, queries
from tests.observability.expressions import rules, selectors
from tests.observability.live_prometheus import PROMETHEUS, Prometheus, running_prometheus

if PROMETHEUS is None:
    pytest.skip("prometheus is not installed (apt install prometheus)", allow_module_level=True)

BUSY_SECONDS = 120.0
LEAST_ROUNDS = 4


def empty_queries(prometheus: Prometheus) -> list[str]:
    return [f"{name} = {query}" for name, query in queries() if not prometheus.samples(query)]


def empty_records(prometheus: Prometheus) -> list[str]:
    return [rule["record"] for rule in rules("recording") if not prometheus.samples(rule["record"])]


@pytest.fixture(scope="module")
def watched(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that saw the servers busy until every query had data, or for long enough."""
    folder: Path = tmp_path_factory.mktemp("watched")
    with (
        open_shop(children, chain, folder) as shop,
        open_compute_shop(children, chain, folder) as computing,
        running_secure_server(children, chain, folder) as secure,
    ):
        admin_urls = [shop.server.admin_url, computing.client.server.admin_url, secure.admin_url]
        with running_prometheus(folder, admin_urls) as prometheus:
            deadline = time.monotonic() + BUSY_SECONDS
            number = 0
            while number < LEAST_ROUNDS or (
                time.monotonic() < deadline and (empty_queries(prometheus) or empty_records(prometheus))
            ):
                shop.round(number)
                computing.round()
                number += 1
            yield prometheus


def test_no_query_of_the_dashboard_returns_nothing(watched: Prometheus) -> None:
    assert empty_queries(watched) == []


def test_each_variable_of_the_dashboard_has_values(watched: Prometheus) -> None:
    for variable in MODEL["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            assert watched.label_values(selector, label), variable["name"]


def test_no_recording_rule_returns_nothing(watched: Prometheus) -> None:
    assert empty_records(watched) == []


def test_every_rule_could_be_evaluated(watched: Prometheus) -> None:
    evaluated = [rule for group in watched.api("rules")["groups"] for rule in group["rules"]]
    assert len(evaluated) == len(rules("recording")) + len(rules("alerts"))
    assert [(rule["name"], rule.get("lastError")) for rule in evaluated if rule["health"] != "ok"] == []


def test_every_series_that_an_alert_looks_at_exists(watched: Prometheus) -> None:
    """With its labels; which codes there are is `test_rules.py`'s to say, since not all of them come about here."""
    missing = []
    for rule in rules("alerts"):
        for name, matchers in selectors(rule["expr"]):
            held = ", ".join(f'{label}=~"{value}"' for label, value in matchers.items() if label not in UNPROVOKED)
            if not watched.samples(f"{name}{{{held}}}"):
                missing.append(f"{rule['alert']}: {name}{{{held}}}")
    assert missing == []


# Values of these labels tell of faults that a server that works cannot be made to have.
UNPROVOKED = ("code", "status", "outcome")
