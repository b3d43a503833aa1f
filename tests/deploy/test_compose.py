"""`conf/docker-compose.yml`: valid, its files are there, its variables are settings, and who can reach whom."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.fronts import ROOT
from tests.deploy.settings_of import settings_of

COMPOSE = ROOT / "conf/docker-compose.yml"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


def interpolated(text: str, **given: str) -> str:
    """As Compose replaces `${NAME:-default}` and `${NAME:?what is missing}`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name in given:
            return given[name]
        assert kind == "-", f"{name} is required"
        return str(rest)

    return VARIABLE.sub(value, text)


@pytest.fixture(scope="module")
def text() -> str:
    return interpolated(COMPOSE.read_text(), NETWORK_URL="https://node.example")


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_the_file_keeps_to_the_compose_specification(text: str) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="compose-spec is not installed")
    parsed = compose_spec.PyCompose.from_yaml(text)
    parsed.validate()
    assert sorted(parsed.service_names()) == ["alertmanager", "grafana", "prometheus", "provider", "redis"]


def test_what_is_mounted_from_here_is_here(text: str, services: dict[str, Any]) -> None:
    sources = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    for source in sources:
        if source.startswith("."):
            assert (COMPOSE.parent / source).is_dir(), source
        else:
            assert source in yaml.safe_load(text)["volumes"]
    assert (COMPOSE.parent / "prometheus/prometheus.yml").is_file()


def test_grafana_finds_dashboards_where_its_provisioning_looks(services: dict[str, Any]) -> None:
    folders = [
        provider["options"]["path"]
        for path in (COMPOSE.parent / "grafana/provisioning/dashboards").glob("*.y*ml")
        for provider in yaml.safe_load(path.read_text())["providers"]
    ]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert folders
    assert set(folders) <= set(mounted)


def test_prometheus_asks_the_provider_where_it_listens(services: dict[str, Any]) -> None:
    scraped = yaml.safe_load((COMPOSE.parent / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for each in job["static_configs"] for target in each["targets"]]
    assert "provider:8031" in targets
    assert set(services["prometheus"]["networks"]) & set(services["provider"]["networks"]) == {"watch"}


def test_prometheus_tells_the_alertmanager_of_every_severity(services: dict[str, Any]) -> None:
    prometheus = yaml.safe_load((COMPOSE.parent / "prometheus/prometheus.yml").read_text())
    (told,) = prometheus["alerting"]["alertmanagers"]
    assert told["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert set(services["prometheus"]["networks"]) & set(services["alertmanager"]["networks"]) == {"alerts"}
    config = yaml.safe_load((COMPOSE.parent / "alertmanager/alertmanager.yml").read_text())
    named = {receiver["name"] for receiver in config["receivers"]}
    routes = [config["route"], *config["route"]["routes"]]
    assert {route["receiver"] for route in routes} == named
    rules = yaml.safe_load((COMPOSE.parent / "prometheus/rules/alerts.yml").read_text())
    severities = {rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]}
    assert severities == {"critical", "warning", "info"}
    assert {matcher for route in config["route"]["routes"] for matcher in route["matchers"]} == {
        f'severity="{severity}"' for severity in severities - {"warning"}
    }


def test_the_provider_starts_with_these_variables(services: dict[str, Any], tmp_path: Path) -> None:
    variables = {name: str(value or "") for name, value in services["provider"]["environment"].items()}
    settings = settings_of(variables, tmp_path, config_path=str(ROOT / "conf/provider.toml"))
    grace = int(services["provider"]["stop_grace_period"].removesuffix("s"))
    assert settings.server.drain_timeout_seconds < grace


def test_the_admin_listener_is_for_this_host_and_not_shared_with_others(text: str, services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["8030:8030"]
    assert "127.0.0.1:8031:8031" in services["provider"]["ports"]
    mine = set(services["provider"]["networks"])
    neighbours = {name for name, service in services.items() if mine & set(service["networks"])} - {"provider"}
    assert neighbours == {"prometheus", "redis"}
    internal = {name for name, network in yaml.safe_load(text)["networks"].items() if (network or {}).get("internal")}
    assert internal == {"store", "watch", "dashboards", "alerts"}


def test_every_service_has_a_health_check(services: dict[str, Any]) -> None:
    """The Provider's is in its image."""
    assert all("healthcheck" in service for name, service in services.items() if name != "provider")
    assert '["provider", "health"]' in (ROOT / "Dockerfile").read_text()


def test_images_have_a_version(services: dict[str, Any]) -> None:
    for service in services.values():
        assert re.search(r":v?\d", service["image"]), service["image"]
