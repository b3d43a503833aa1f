"""The command `provider`: help, exit statuses, bad settings, signals, several workers."""

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from provider import __version__
from provider.admission.connections import fitting_connections
from provider.testing.chain.keys import CONSUMER_KEY, PROVIDER_KEY
from provider.testing.child import bare_environ
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.logs import tracebacks
from tests.support.measured import coverage_environ
from tests.support.origin import Origin, pattern_sha256, wait_until
from tests.support.processes import all_workers, running_workers
from tests.support.raw_http import connected, is_closed, read_reply

COMMANDS = (
    "serve",
    "demo",
    "get",
    "check",
    "explain",
    "file",
    "health",
    "usage",
    "import-nonces",
    "backup",
    "restore",
    "index",
    "cache",
    "version",
)
CUT = 3  # exit status
MODULE = (sys.executable, "-m", "provider")


def run(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    command: tuple[str, ...] = MODULE,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end, in a bare environment and an empty folder."""
    home = str(folder or "/nonexistent")
    return subprocess.run(
        [*command, *arguments],
        env={**bare_environ(home), **coverage_environ(), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Help and version


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(flag: str) -> None:
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: provider ")
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\s+\S", done.stdout, re.MULTILINE), command


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: provider {command}" in done.stdout


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_version_is_printed(argument: str) -> None:
    done = run(argument)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_installed_command_does_the_same() -> None:
    script = shutil.which("provider", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("the package is not installed in this environment")
    assert run("version", command=(script,)).stdout == f"{__version__}\n"
    assert run("--help", command=(script,)).stdout == run("--help").stdout


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("serve", "--nonsense"), ("--nonsense",)])
def test_misuse_ends_with_2_and_the_usage(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: provider" in done.stderr


# Health


def test_health_prints_the_answer_of_a_running_server(server: DemoServer) -> None:
    done = run("health", environ={"PROVIDER_ADMIN_URL": server.admin_url})
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"status": "alive"}


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("off", 1, "PROVIDER_ADMIN_URL is off"),
        ("http://127.0.0.1:1", 1, "no answer from 127.0.0.1 port 1: Connection refused"),
        ("https://127.0.0.1:1", 2, "PROVIDER_ADMIN_URL"),
    ],
    ids=["off", "nobody there", "wrong"],
)
def test_health_says_why_there_is_no_answer(url: str, status: int, text: str) -> None:
    done = run("health", environ={"PROVIDER_ADMIN_URL": url})
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr


# Settings


@pytest.mark.parametrize("command", ["serve", "check"])
def test_every_wrong_setting_is_named_and_no_secret_shown(command: str, tmp_path: Path) -> None:
    wrong = {
        "NETWORK_URL": "ftp://planted-user:planted-password@node/planted-token",
        "PROVIDER_PRIVATE_KEY": "0xplanted-key",
        "UNIVERSAL_PRIVATE_KEY": PROVIDER_KEY[:-1] + "g",
        "PROVIDER_FEE_TOKEN": "planted-token",
        "ADDRESS_FILE": str(tmp_path / "missing.json"),
        "AQUARIUS_URL": "planted-host/path",
        "AUTHORIZED_DECRYPTERS": "planted",
        "ALLOW_NON_PUBLIC_IP": "perhaps",
        "REQUEST_TIMEOUT": "soon",
        "REQUEST_RETRIES": "0",
        "MAX_CHECKSUM_LENGTH": "-1",
        "OCEAN_PROVIDER_URL": "0.0.0.0",
        "PROVIDER_WORKERS": "many",
        "PROVIDER_MAX_BODY_BYTES": "1 GB",
        "LOG_LEVEL": "LOUD",
        "REDIS_CONNECTION": "redis://:planted-password@host:planted",
        "UNIVERSAL_PRIVATE_KEY_FILE": "planted-key-in-the-place-of-its-file",
        "TRUSTED_PROXIES": "planted",
        "PROVIDER_BODY_TIMEOUT_SECONDS": "0",
        "USE_HTTP_PROOF": "https://planted-user:planted-password@host/a b",
        "IPFS_GATEWAY": "https://gateway.example,planted",
        "OPERATOR_SERVICE_URL": "planted:planted-password@operator",
    }
    done = run(command, environ=wrong, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    for variable in wrong:
        assert f"- {variable}" in done.stderr, variable
    assert "planted" not in done.stderr
    assert PROVIDER_KEY[2:20] not in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_set_names_what_is_required(tmp_path: Path) -> None:
    done = run("serve", folder=tmp_path)
    assert done.returncode == 2
    assert "NETWORK_URL" in done.stderr
    assert "PROVIDER_PRIVATE_KEY" in done.stderr


def test_settings_file_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "provider.toml"
    path.write_text('[server]\nworkers = "two"\nunheard_of = 1\n[chains]\nnetwork_url = "planted"\n')
    for done in (run("serve", "--config", str(path)), run("serve", environ={"PROVIDER_CONFIG_FILE": str(path)})):
        assert done.returncode == 2
        for text in ("PROVIDER_WORKERS (file: server.workers)", "server.unheard_of: unknown key", "NETWORK_URL"):
            assert text in done.stderr
        assert "planted" not in done.stderr
    assert run("serve", "--config", str(tmp_path / "missing.toml")).returncode == 2


# Start


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("variable", ["OCEAN_PROVIDER_URL", "PROVIDER_ADMIN_URL"])
def test_port_in_use_ends_with_1_and_names_the_variable(launch: LaunchServer, workers: str, variable: str) -> None:
    """Also where the stranger would share its port: then half of all requests would be his."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        own = launch(wait=False, PROVIDER_WORKERS=workers, **{variable: taken})
        assert ended(own) == 1
    log = own.child.stderr_tail(1 << 20)
    place = f"127.0.0.1 port {urlsplit(taken).port}"
    assert f"{variable}: cannot listen on {place}: Address already in use" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"ADDRESS_FILE": ""}, "ADDRESS_FILE: has no ERC721Factory for chain 8996"),
        ({"STORAGE_PATH": "/nonexistent/x.db"}, "STORAGE_PATH: "),
    ],
    ids=["no contracts known", "no place for the store"],
)
def test_start_that_cannot_succeed_ends_with_1(
    launch: LaunchServer, workers: str, setting: dict[str, str], text: str
) -> None:
    own = launch(wait=False, PROVIDER_WORKERS=workers, **setting)
    assert ended(own) == 1
    log = own.child.stderr_tail(1 << 20)
    assert text in log
    assert tracebacks(log) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_server_that_still_waits_for_its_node(launch: LaunchServer, number: signal.Signals) -> None:
    own = launch(wait=False, NETWORK_URL=f"http://planted:planted@127.0.0.1:{free_ports(1)[0]}")
    wait_until(lambda: "waiting for the node of NETWORK_URL" in own.child.stderr_tail(1 << 20))
    os.kill(own.child.pid, number)
    assert ended(own) == 0
    log = own.child.stderr_tail(1 << 20)
    assert "planted" not in log
    assert tracebacks(log) == []


# Stop


def ended(own: DemoServer, seconds: float = 60.0) -> int:
    """Exit status, once the process has ended."""
    return own.child._process.wait(seconds)


def refuses_connections(own: DemoServer) -> bool:
    parts = urlsplit(own.url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        # Closed while it was being made, say.
        return False
    return False


def open_stream(own: DemoServer, chain: DemoChain, sell: Sell, file: str) -> socket.socket:
    """A download under way whose head has been read."""
    target = Consumer(chain.wallet(CONSUMER_KEY), own.url).download_url(*sell(url_file(file))).removeprefix(own.url)
    parts = urlsplit(own.url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(15)
    sock.connect((parts.hostname, parts.port))
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return sock


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stream_under_way_is_finished_before_the_end(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, number: signal.Signals, workers: str
) -> None:
    size = 30_000_000
    own = launch(PROVIDER_WORKERS=workers)
    with connected(own.url) as idle, open_stream(own, chain, sell, f"{origin.url}/bytes/{size}") as sock:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(idle).status == 200
        first = sock.recv(200)
        assert first.startswith(b"HTTP/1.1 200")
        os.kill(own.child.pid, number)
        wait_until(lambda: refuses_connections(own))
        ready = request("GET", f"{own.admin_url}/readyz")
        assert (ready.status, ready.json()["checks"]) == (503, {"server": "draining"})
        rest = bytearray(first)
        while piece := sock.recv(1 << 20):
            rest += piece
    head, _, body = bytes(rest).partition(b"\r\n\r\n")
    assert f"content-length: {size}".encode() in head.lower()
    assert hashlib.sha256(body).hexdigest() == pattern_sha256(size)
    assert ended(own) == 0
    log = own.child.stderr_tail(1 << 20)
    assert '"stopped"' in log
    assert tracebacks(log) == []
    assert "Task was destroyed" not in log


def test_idle_connections_do_not_delay_the_end(launch: LaunchServer) -> None:
    own = launch()
    with connected(own.url) as silent, connected(own.url) as kept, connected(own.url) as half:
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(kept).status == 200
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        started = time.monotonic()
        os.kill(own.child.pid, signal.SIGTERM)
        assert ended(own) == 0
        # Streams would be given 30.
        assert time.monotonic() - started < 20
        assert all(is_closed(sock) for sock in (silent, kept, half))
    assert tracebacks(own.child.stderr_tail(1 << 20)) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_drain_ends_at_its_deadline_and_the_cut_is_seen(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, workers: str
) -> None:
    own = launch(PROVIDER_DRAIN_TIMEOUT_SECONDS="0.3", PROVIDER_WORKERS=workers)
    with open_stream(own, chain, sell, f"{origin.url}/bytes/4000000000") as sock:
        assert sock.recv(200).startswith(b"HTTP/1.1 200")
        os.kill(own.child.pid, signal.SIGTERM)
        assert ended(own) == CUT
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: sock.recv(1 << 20), b""))
    log = own.child.stderr_tail(1 << 20)
    assert '"cut_requests":1' in log
    assert tracebacks(log) == []
    wait_until(lambda: origin.active == 0)


def test_request_that_waits_for_its_origin_is_cut_at_the_deadline(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin
) -> None:
    own = launch(PROVIDER_DRAIN_TIMEOUT_SECONDS="0.3", REQUEST_TIMEOUT="60")
    wait_until(lambda: origin.active == 0)
    with open_stream(own, chain, sell, f"{origin.url}/silent") as sock:
        wait_until(lambda: origin.active == 1)
        os.kill(own.child.pid, signal.SIGTERM)
        assert ended(own) == CUT
        assert is_closed(sock)
    log = own.child.stderr_tail(1 << 20)
    assert '"cut_requests":1' in log
    assert tracebacks(log) == []
    assert "Task was destroyed" not in log


def test_the_start_tells_how_many_connections_the_open_files_allow(launch: LaunchServer) -> None:
    own = launch()
    line = next(line for line in own.child.stderr_tail(1 << 20).splitlines() if '"listening"' in line)
    soft = psutil.Process(own.child.pid).rlimit(psutil.RLIMIT_NOFILE)[0]
    assert json.loads(line)["most_connections"] == fitting_connections(soft)
    assert json.loads(line)["open_files_limit"] == soft


# Several workers


def answers(own: DemoServer) -> bool:
    try:
        return request("GET", f"{own.url}/").status == 200
    except (OSError, ValueError):
        return False


def metric(own: DemoServer, sample: str) -> float:
    text = request("GET", f"{own.admin_url}/metrics").body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(sample))


NONCES = 'provider_requests_total{endpoint="nonce",status="200"}'


def ask_nonces(own: DemoServer, count: int) -> None:
    url = f"{own.url}/api/services/nonce?userAddress=0x{'12' * 20}"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {reply.status for reply in pool.map(lambda _: request("GET", url), range(count))} == {200}


def test_dead_worker_is_restarted_and_metrics_sum_over_all(launch_executed: LaunchServer, tmp_path: Path) -> None:
    own = launch_executed(PROVIDER_WORKERS="2", TMPDIR=str(tmp_path))
    before = all_workers(own.child.pid)
    wait_until(lambda: own.child.stderr_tail(1 << 20).count('"listening"') == 2)
    ask_nonces(own, 60)
    wait_until(lambda: metric(own, NONCES) == 60)
    # The worker that told so may not have written it down yet, and what it has not is lost with it.
    told = time.time()
    wait_until(lambda: sum(path.stat().st_mtime > told for path in tmp_path.glob("*/[0-9]*.json")) == 2)
    for victim in before:
        victim.kill()
    wait_until(lambda: own.child.stderr_tail(1 << 20).count('"listening"') == 4)
    now = all_workers(own.child.pid)
    assert not {process.pid for process in before} & {process.pid for process in now}
    ask_nonces(own, 40)
    wait_until(lambda: metric(own, NONCES) == 100)
    assert own.child.stderr_tail(1 << 20).count("worker ended, restarting it") == 2
    os.kill(own.child.pid, signal.SIGTERM)
    assert ended(own) == 0


def test_worker_that_dies_while_it_stops_ends_with_1(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin
) -> None:
    own = launch(PROVIDER_WORKERS="2")
    with open_stream(own, chain, sell, f"{origin.url}/bytes/4000000000") as sock:
        assert sock.recv(200).startswith(b"HTTP/1.1 200")
        os.kill(own.child.pid, signal.SIGTERM)
        wait_until(lambda: refuses_connections(own))
        for worker in running_workers(own.child.pid):
            # The one without a stream ends by itself.
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        assert ended(own) == 1


def test_workers_end_with_a_supervisor_that_is_killed(launch: LaunchServer) -> None:
    own = launch(PROVIDER_WORKERS="2")
    workers = all_workers(own.child.pid)
    os.kill(own.child.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert not answers(own)


def test_admin_listener_answers_only_operators(server: DemoServer) -> None:
    """Metrics are not on the public port, and the admin port has no service."""
    for path in ("/metrics", "/healthz", "/readyz"):
        assert request("GET", server.url + path).status == 404
        reply = request("GET", server.admin_url + path)
        assert reply.status == 200
        assert "server" not in reply.headers
    assert request("GET", f"{server.admin_url}/api/services/nonce").status == 404
    assert request("GET", f"{server.admin_url}/healthz").json() == {"status": "alive"}


def test_metrics_name_no_address_url_or_transaction(
    server: DemoServer, consumer: Consumer, bought: tuple[object, str]
) -> None:
    asset, tx = bought
    assert consumer.download(asset, tx).status == 200  # type: ignore[arg-type]
    wait_until(lambda: metric(server, 'provider_streamed_bytes_total{endpoint="download"') > 0)
    text = request("GET", f"{server.admin_url}/metrics").body.decode()
    assert not re.search(r"0x[0-9a-fA-F]{8}|did:op|https?://", text.replace("# HELP", ""))
    assert "_created" not in text
    for name in ("provider_decrypt_seconds_count", "provider_first_byte_seconds_count", "provider_rpc_seconds_count"):
        assert metric(server, name) > 0
