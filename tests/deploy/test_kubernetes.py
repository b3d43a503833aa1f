"""`conf/kubernetes/`: every object keeps to the schemas of Kubernetes, and what refers to another finds it."""

import json
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from provider.upstream.addresses import check_address
from tests.deploy.conftest import tool
from tests.deploy.fronts import ROOT
from tests.deploy.settings_of import settings_of

FOLDER = ROOT / "conf/kubernetes"
# The oldest that has everything used here, and the newest that there are schemas of.
VERSIONS = ("1.29", "latest")
NOT_OURS = {"ServiceMonitor", "Kustomization"}
KUSTOMIZE_FROM = (1, 21)
Objects = dict[str, dict[str, Any]]


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def complete(folder: str) -> list[dict[str, Any]]:
    """Objects of the files that are no patches."""
    patches = {"single/deployment.yaml", "several/deployment.yaml"}
    paths = [path for path in sorted((FOLDER / folder).glob("*.yaml")) if f"{folder}/{path.name}" not in patches]
    return [each for path in paths for each in documents(path.read_text())]


@pytest.fixture(scope="module", params=["single", "several"])
def built(request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]]]:
    """What `kubectl apply -k` would send."""
    program = tool("kubectl")
    done = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, check=True)
    version = json.loads(done.stdout)["clientVersion"]
    if (int(version["major"]), int(version["minor"].rstrip("+"))) < KUSTOMIZE_FROM:
        pytest.skip("this kubectl is older than kustomizations with patches")
    command = [program, "kustomize", str(FOLDER / request.param)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, documents(done.stdout)


def check_schema(objects: list[dict[str, Any]], version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    wanted = validate.latest_version() if version == "latest" else version
    for each in objects:
        if each["kind"] not in NOT_OURS:
            validate.validate(each, wanted, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", [".", "base", "single", "several"])
def test_every_file_keeps_to_the_schemas(folder: str, version: str) -> None:
    check_schema(complete(folder), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_kustomize_builds_keeps_to_the_schemas(built: tuple[str, list[dict[str, Any]]], version: str) -> None:
    check_schema(built[1], version)


def test_one_pod_keeps_its_nonces_on_a_volume_and_several_in_redis(built: tuple[str, list[dict[str, Any]]]) -> None:
    name, objects = built
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    data = next(volume for volume in pod["volumes"] if volume["name"] == "data")
    variables = {each["name"] for each in pod["containers"][0]["env"]}
    kinds = {each["kind"] for each in objects}
    if name == "single":
        assert deployment["spec"]["replicas"] == 1
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        assert data["persistentVolumeClaim"]["claimName"] == "provider-data"
        assert not variables & {"REDIS_CONNECTION", "REDIS_CONNECTION_FILE"}
        assert "HorizontalPodAutoscaler" not in kinds
    else:
        assert "replicas" not in deployment["spec"]
        assert "REDIS_CONNECTION_FILE" in variables
        assert {"HorizontalPodAutoscaler", "PodDisruptionBudget"} <= kinds
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.fixture(scope="module")
def objects() -> Objects:
    """By kind and name, of all files that are no patches."""
    found = [*complete("."), *complete("base"), *complete("several"), *complete("single")]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found if "metadata" in each}


def container_of(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = objects["Deployment/provider"]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_selectors_and_ports_name_what_the_pods_have(objects: Objects) -> None:
    template = objects["Deployment/provider"]["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    ports = {port["name"] for port in container_of(objects)["ports"]}
    for name in ("Service/provider", "Service/provider-admin"):
        spec = objects[name]["spec"]
        assert spec["selector"].items() <= labels
        assert {port["targetPort"] for port in spec["ports"]} <= ports
    for name in ("PodDisruptionBudget/provider", "Deployment/provider"):
        assert objects[name]["spec"]["selector"]["matchLabels"].items() <= labels
    assert objects["NetworkPolicy/provider"]["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert objects["HorizontalPodAutoscaler/provider"]["spec"]["scaleTargetRef"]["name"] == "provider"


def test_the_service_monitor_finds_the_admin_service_alone(objects: Objects) -> None:
    monitor = objects["ServiceMonitor/provider"]["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [each for each in objects.values() if each["kind"] == "Service"]
    found = [each for each in services if wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in found] == ["provider-admin"]
    assert {each["port"] for each in monitor["endpoints"]} <= {port["name"] for port in found[0]["spec"]["ports"]}


def test_pods_start_with_these_variables_and_have_time_to_drain(objects: Objects, tmp_path: Path) -> None:
    container = container_of(objects)
    secret = objects["Secret/provider-secrets"]["stringData"]
    variables = dict(objects["ConfigMap/provider-settings"]["data"])
    for each in container["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        variables[each["name"]] = secret[reference["key"]] if reference else each["value"]
    folder = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "secrets")
    patch = documents((FOLDER / "several/deployment.yaml").read_text())[0]
    patched = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    variables |= {each["name"]: each["value"] for each in patched}
    for variable, value in variables.items():
        if variable.endswith("_FILE"):
            assert value in {f"{folder}/{key}" for key in secret}
    settings = settings_of(variables, tmp_path)
    assert settings.server.workers == 2
    pod = objects["Deployment/provider"]["spec"]["template"]["spec"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + settings.server.drain_timeout_seconds < pod["terminationGracePeriodSeconds"]


def test_pods_run_without_rights(objects: Objects) -> None:
    pod = objects["Deployment/provider"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()
    container = container_of(objects)["securityContext"]
    assert container["readOnlyRootFilesystem"] is True
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    # Variables of services would look like settings: PROVIDER_ADMIN_PORT and others.
    assert pod["enableServiceLinks"] is False


def test_the_secret_is_an_example_and_no_kustomization_takes_it(objects: Objects) -> None:
    assert all("REPLACE" in value for value in objects["Secret/provider-secrets"]["stringData"].values())
    for path in FOLDER.rglob("kustomization.yaml"):
        assert "secret.example" not in str(documents(path.read_text())[0].get("resources"))


def is_for_names(rule: dict[str, Any]) -> bool:
    return {port["port"] for port in rule.get("ports", ())} == {53}


def test_the_network_policy_lets_through_what_settings_may_name(objects: Objects) -> None:
    egress = objects["NetworkPolicy/provider"]["spec"]["egress"]
    # The cache of names on each node has an address that is link-local, like that of cloud metadata: for names alone.
    caches = [rule for rule in egress if {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]]
    assert [is_for_names(rule) for rule in caches] == [True]
    labelled = [rule for rule in egress if "provider.example/serves" in str(rule["to"])]
    assert [sorted(rule) for rule in labelled] == [["to"]]
    redis = next(rule for rule in egress if "redis" in str(rule["to"]))
    assert {port["port"] for port in redis["ports"]} == {6379, 26379}


def test_the_network_policy_shuts_off_what_the_address_guard_refuses(objects: Objects) -> None:
    blocks = [
        peer["ipBlock"]
        for rule in objects["NetworkPolicy/provider"]["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer and not is_for_names(rule)
    ]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "2000::/3"}
    shut = [ip_network(text) for block in blocks for text in block["except"]]
    for network in shut:
        # Some addresses of 2001::/23 and 2002::/16 lead to public ones, and the guard looks inside.
        assert check_address(str(network[0])) is not None or network.version == 6
    for private in (
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.0.1",
        "192.168.1.1",
        "168.63.129.16",
    ):
        assert any(ip_network(private).subnet_of(network) for network in shut if network.version == 4), private
