"""`conf/systemd/provider.service`: systemd takes every line, and its sandbox lets the server serve."""

import re
import subprocess
from pathlib import Path

import pytest

from provider.config import SettingsError
from provider.testing.chain.keys import PROVIDER_KEY
from tests.deploy.conftest import tool
from tests.deploy.fronts import ROOT
from tests.deploy.settings_of import settings_of

UNIT = ROOT / "conf/systemd/provider.service"
PAGE = (ROOT / "docs/deploy.md").read_text()
HIGHEST_EXPOSURE = 2.0


def section(name: str) -> dict[str, list[str]]:
    """Every value of each key, of which there may be several."""
    values: dict[str, list[str]] = {}
    inside = False
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def test_systemd_takes_every_line(tmp_path: Path) -> None:
    """With a program that is there, since the one of the unit is not installed here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/provider/bin/provider", "/bin/true"))
    command = [tool("systemd-analyze"), "verify", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_little_is_exposed() -> None:
    command = [tool("systemd-analyze"), "security", "--offline=true", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit that is not loaded")
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= HIGHEST_EXPOSURE


def test_the_server_starts_with_these_variables_and_has_time_to_drain(tmp_path: Path) -> None:
    service = section("Service")
    variables = dict(line.split("=", 1) for line in service["Environment"])
    assert variables["PROVIDER_PRIVATE_KEY_FILE"] == "%d/" + service["LoadCredential"][0].partition(":")[0]
    assert variables["STORAGE_PATH"].startswith(f"%S/{service['StateDirectory'][0]}/")
    variables["PROVIDER_CONFIG_FILE"] = str(ROOT / "conf/provider.toml")
    settings = settings_of({**variables, "NETWORK_URL": "https://node.example"}, tmp_path)
    assert settings.server.drain_timeout_seconds < float(service["TimeoutStopSec"][0])


def installed(folder: Path) -> Path:
    """Put below `folder` the files that the commands of the page put into /etc/provider."""
    commands = PAGE.partition("## With systemd")[2].split("```")[1]
    etc = folder / "provider"
    (folder / "key").write_text(PROVIDER_KEY)
    lines = [line for line in commands.splitlines() if "/etc/provider" in line]
    script = "\n".join(lines).replace("/etc/provider", str(etc)).replace("/path/to/key", str(folder / "key"))
    subprocess.run(["sh", "-ec", script], cwd=ROOT, check=True)
    return etc


def test_the_page_installs_what_the_unit_reads_and_shows_others_no_secret(tmp_path: Path) -> None:
    etc = installed(tmp_path)
    service = section("Service")
    variables = dict(line.split("=", 1) for line in service["Environment"])
    config = variables["PROVIDER_CONFIG_FILE"]
    secrets = [*service["EnvironmentFile"], *(line.partition(":")[2] for line in service["LoadCredential"])]
    assert {Path(path).name for path in (config, *secrets)} == {path.name for path in etc.iterdir()}
    assert {str(Path(path).parent) for path in (config, *secrets)} == {"/etc/provider"}
    for path in secrets:
        assert (etc / Path(path).name).stat().st_mode & 0o077 == 0, path
    # The account of the service owns none of them, and reads this one anew at each reload.
    assert etc.stat().st_mode & 0o005 == 0o005
    assert (etc / Path(config).name).stat().st_mode & 0o004


def test_without_the_settings_file_the_start_fails_and_names_it(tmp_path: Path) -> None:
    missing = str(tmp_path / "provider.toml")
    with pytest.raises(SettingsError, match=re.escape(f"PROVIDER_CONFIG_FILE: cannot read {missing}: ")):
        settings_of({"PROVIDER_CONFIG_FILE": missing}, tmp_path)


def test_wrong_settings_are_not_tried_again_and_cut_streams_are_no_failure() -> None:
    service = section("Service")
    assert service["RestartPreventExitStatus"] == ["2"]
    assert service["SuccessExitStatus"] == ["3"]
    assert service["KillMode"] == ["mixed"]
