"""The commands of docs/runbook.md that read the log find what they are for, between lines that are no JSON."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from provider.observability.logs import JsonFormatter, Redaction
from provider.testing.child import Children
from provider.testing.http_client import request
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.deploy.conftest import Stage, tool
from tests.deploy.fronts import ROOT
from tests.support.origin import wait_until

PAGE = (ROOT / "docs/runbook.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FUNCTIONS = next(block for block in BLOCKS if "logq()" in block)
COMMANDS = [
    *re.findall(r"`(logs \d+[mh] \| logq [^`]+)`", PAGE),
    *(line for block in BLOCKS for line in block.splitlines() if line.startswith("logs ")),
]
# What `journalctl -u provider -o cat` prints between our lines, and what other programs may write to the same place.
FOREIGN = (
    "Starting provider.service - Provider of Ocean Protocol datasets...",
    "Started provider.service - Provider of Ocean Protocol datasets.",
    "provider.service: Main process exited, code=killed, status=9/KILL",
    "provider.service: Failed with result 'signal'.",
    "provider.service: Scheduled restart job, restart counter is at 1.",
    "provider.service: Consumed 1.290s CPU time.",
    "9",
    '"message"',
    "[]",
    "{}",
    '{"message":7}',
    "",
)


def message(line: str) -> str:
    return str(json.loads(line)["message"])


def code(line: str) -> str:
    return str(json.loads(line)["code"])


# By the condition of a command: whether a line that it prints is what the page promises.
FINDS: dict[str, Callable[[str], bool]] = {
    '.level != "info" and .level != "debug"': lambda line: json.loads(line)["level"] in {"warning", "error"},
    '.message == "request"': lambda line: re.fullmatch(r" *\d+ [a-z_]+", line) is not None,
    '.message | test("worker ended|worker failed|stopped")': lambda line: message(line).startswith(("worker ", "stop")),
    '.message | test("worker ended|worker failed")': lambda line: message(line).startswith("worker ended"),
    '.message | test("worker")': lambda line: "worker" in message(line),
    ".traceback": lambda line: line in {"asked-once", "Traceback (most recent call last):"} or "ValueError" in line,
    '.message == "request" and .endpoint == "download"': lambda line: json.loads(line)["endpoint"] == "download",
    '.code == "files_undecryptable" or .code == "decrypt_failed"': lambda line: code(line) == "decrypt_failed",
    '.code == "unsafe_address"': lambda line: code(line) == "unsafe_address",
    '.message | test("endpoint")': lambda line: "endpoint 1 ejected" in message(line),
    '.code == "store_unavailable"': lambda line: line.startswith("Redis: "),
    '.message | test("proof")': lambda line: message(line).startswith("proof not accepted"),
    '.message | test("books")': lambda line: message(line).startswith("the books cannot be written"),
    '.message | test("Redis")': lambda line: "Redis" in message(line),
}


def condition(command: str) -> str:
    return re.findall(r"logq '([^']*)'", command)[0]


def formatted(text: str, **facts: object) -> str:
    """A line as the server writes it, of something that is hard to bring about."""
    error = None
    if "request_id" in facts:
        try:
            raise ValueError(text)
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("provider.test", logging.ERROR, "", 0, text, (), error)
    record.fields = facts
    Redaction().filter(record)
    return JsonFormatter().format(record)


def troubled(children: Children, chain: DemoChain, folder: Path) -> DemoServer:
    """Two workers whose Redis and first node are away; one is killed, and requests of several kinds are refused."""
    gone = free_ports(2)
    chain_id = str(chain.contracts.chain_id)
    settings = {
        "PROVIDER_WORKERS": "2",
        "NETWORK_URL": json.dumps({chain_id: [f"http://127.0.0.1:{gone[0]}", chain.url]}),
        "PROVIDER_PRIVATE_KEY": json.dumps({chain_id: chain.provider_key}),
        "UNIVERSAL_PRIVATE_KEY": chain.provider_key,
        "REDIS_CONNECTION": f"redis://127.0.0.1:{gone[1]}/0",
    }
    server = launch_server(children, chain, folder, settings, name="troubled")

    def said(text: str, times: int = 1) -> bool:
        server.child.check()
        return server.child.stderr_tail(1 << 24).count(text) >= times

    wait_until(lambda: said('"message":"listening"', 2))
    os.kill(psutil.Process(server.child.pid).children()[1].pid, signal.SIGKILL)
    wait_until(lambda: said('"message":"listening"', 3))
    services = f"{server.url}/api/services"
    request("GET", f"{services}/nonce?userAddress=0x{'11' * 20}")
    request("GET", f"{services}/download")
    wait_until(lambda: said("ejected") and said('"message":"request"', 2))
    server.child.stop()
    return server


@pytest.fixture(scope="module")
def log(children: Children, chain: DemoChain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's log, with a line of another program after each of its own."""
    tool("jq")
    folder = Path(tmp_path_factory.mktemp("runbook"))
    lines = troubled(children, chain, folder).child.stderr_tail(1 << 24).splitlines()
    lines = [line for line in lines if line.startswith("{")]
    lines += [
        formatted("unhandled", request_id="asked-once"),
        formatted("request", endpoint="decrypt", code="decrypt_failed"),
        formatted("request", endpoint="download", code="unsafe_address"),
        formatted("proof not accepted: status 500"),
        formatted("the books cannot be written, downloads go on: /data/usage.db: database or disk is full"),
    ]
    mixed = [text for number, line in enumerate(lines) for text in (FOREIGN[number % len(FOREIGN)], line)]
    path = folder / "log"
    path.write_text("\n".join([*FOREIGN, *mixed, ""]))
    return path


def run(command: str, log: Path) -> subprocess.CompletedProcess[str]:
    """In bash, after the page's functions, with `logs` from a file."""
    script = f"set -o pipefail\n{FUNCTIONS}\nlogs() {{ cat '{log}'; }}\n{command}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_that_reads_the_log_finds_what_the_page_says(command: str, log: Path) -> None:
    done = run(command, log)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  File")]
    assert lines
    unexpected = [line for line in lines if not FINDS[condition(command)](line)]
    assert unexpected == [], unexpected


def test_every_command_that_reads_the_log_is_run() -> None:
    assert {condition(command) for command in COMMANDS} == set(FINDS)
    # Beside the function that lets lines pass which are no JSON, nothing reads the log.
    assert len(re.findall(r"\bjq\b", PAGE)) == 1
    assert len(re.findall(r"\blogs \d+[mh] \| logq", PAGE)) == len(COMMANDS)


def test_a_container_asks_its_admin_listener_without_curl(stage: Stage) -> None:
    script = f"{FUNCTIONS}\n'{sys.executable}' -c \"$ask\" /readyz"
    port = stage.server.admin_url.rpartition(":")[2]
    done = subprocess.run(["bash", "-c", script.replace("8031", port)], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["ready"] is True, done.stderr


def test_commands_name_what_manifests_have() -> None:
    compose = (ROOT / "conf/docker-compose.yml").read_text()
    deployment = (ROOT / "conf/kubernetes/base/deployment.yaml").read_text()
    unit = (ROOT / "conf/systemd/provider.service").read_text()
    assert re.search(r"^  provider:$", compose, re.MULTILINE)
    assert "kind: Deployment\nmetadata:\n  name: provider\n" in deployment
    assert "app.kubernetes.io/name: provider" in deployment
    by_hand = re.sub(r"\\\n +", "", FUNCTIONS[FUNCTIONS.index("in_unit()") :])
    for line in ("DynamicUser=yes", "StateDirectory=provider", "StateDirectoryMode=0700", "UMask=0077"):
        assert f"\n{line}\n" in unit
        assert f"-p {line} " in by_hand
    for line in re.findall(r"^(?:LoadCredential|EnvironmentFile)=.*", unit, re.MULTILINE):
        assert f"-p {line} " in by_hand
    places = {"%S": "/var/lib", "%d": "/run/credentials/provider-by-hand.service"}
    for line in re.findall(r"^Environment=(.*)", unit, re.MULTILINE):
        assert f"-E {re.sub('%.', lambda found: places[found[0]], line)} " in by_hand
    assert f'{re.findall("^ExecStart=(.*) serve$", unit, re.MULTILINE)[0]} "$@"' in by_hand
