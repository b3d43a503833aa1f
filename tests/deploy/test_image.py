"""The Dockerfile as far as it can be tried without an engine: linter, files, health check, process 1."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from provider.testing.child import Children
from provider.testing.stage import DemoChain, launch_server
from tests.deploy.conftest import Stage, tool
from tests.deploy.fronts import ROOT
from tests.support.origin import wait_until

DOCKERFILE = ROOT / "Dockerfile"
TEXT = DOCKERFILE.read_text().replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name}\s+(.*)$", TEXT, re.MULTILINE)


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run([tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_in_the_build_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            for source in shlex.split(line)[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored, source


def test_the_image_runs_as_a_user_of_its_own_and_stops_when_asked() -> None:
    assert instructions("USER") == ["8030:8030"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(instructions("ENTRYPOINT")[0]) + json.loads(instructions("CMD")[-1]) == ["provider", "serve"]
    assert "/data" in instructions("VOLUME")
    assert instructions("EXPOSE") == ["8030 8031"]


def test_nothing_that_the_image_leaves_out_is_read() -> None:
    """The server's modules, and all that they import: none stands in a folder that the Dockerfile removes."""
    removed = set(re.findall(r"-type d \\\( (.*?) \\\)", TEXT)[0].replace("-name ", "").split(" -o "))
    assert removed == {"test", "tests", "SelfTest"}
    # The last of these needs an extra that neither the image nor the README's test command installs.
    left_out = ("provider.demo", "provider.testing", "provider.__main__", "provider.commands.parquet")
    listing = (
        "import importlib, pkgutil, sys, provider\n"
        "for module in pkgutil.walk_packages(provider.__path__, 'provider.'):\n"
        f"    if not module.name.startswith({left_out!r}):\n"
        "        importlib.import_module(module.name)\n"
        "print('\\n'.join(name for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "tornado.web" in done.stdout.splitlines()
    assert [name for name in done.stdout.splitlines() if removed & set(name.split("."))] == []


@pytest.mark.parametrize(("port", "status"), [("", 0), ("1", 1)], ids=["alive", "not there"])
def test_the_health_check_tells_whether_the_server_is_alive(stage: Stage, port: str, status: int) -> None:
    command = json.loads(re.search(r"HEALTHCHECK.*?CMD\s+(\[.*\])$", TEXT, re.MULTILINE)[1])  # type: ignore[index]
    assert command == ["provider", "health"]
    url = f"http://127.0.0.1:{port}" if port else stage.server.admin_url.replace("127.0.0.1", "0.0.0.0")
    done = subprocess.run(
        [sys.executable, "-m", *command], env={"PROVIDER_ADMIN_URL": url}, capture_output=True, check=False
    )
    assert done.returncode == status


@pytest.mark.parametrize("workers", ["1", "2"])
def test_as_process_one_it_stops_when_asked_and_leaves_no_dead_children(
    children: Children, chain: DemoChain, tmp_path: Path, workers: str
) -> None:
    """Without an init before it: the kernel gives process 1 only the signals that it handles, and all orphans."""
    enter = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        enter += ["--user", "--map-root-user"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces here")
    in_namespace = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    command = ("-c", in_namespace, *enter, sys.executable, "-m", "provider", "serve")
    server = launch_server(children, chain, tmp_path, {"PROVIDER_WORKERS": workers}, name="one", command=command)
    server.wait_ready()
    (one,) = psutil.Process(server.child.pid).children()
    assert Path(f"/proc/{one.pid}/status").read_text().split("NSpid:")[1].split()[1] == "1"
    listening = '"message":"listening"'
    wait_until(lambda: server.child.stderr_tail().count(listening) == int(workers))
    if workers == "2":
        os.kill(one.children()[1].pid, signal.SIGKILL)
        wait_until(lambda: server.child.stderr_tail().count(listening) == 3)
        assert all(worker.status() != psutil.STATUS_ZOMBIE for worker in one.children())
    one.send_signal(signal.SIGTERM)
    # `unshare` ends as its child did.
    assert psutil.Process(server.child.pid).wait(30) == 0
