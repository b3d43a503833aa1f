"""SIGHUP with a settings file or several workers: new ones take over one by one, and nobody served notices."""

import hashlib
import http.client
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.logs import tracebacks
from tests.support.origin import Origin, pattern_sha256, wait_until
from tests.support.processes import all_workers, running_workers
from tests.support.raw_http import connected, read_reply
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

NONCE_TARGET = f"/api/services/nonce?userAddress=0x{'12' * 20}"


@pytest.fixture
def node(chain: DemoChain) -> Iterator[RpcProxy]:
    """A node that answers while it is open. A worker that starts waits for it."""
    with running_rpc_proxy(chain.url) as proxy:
        yield proxy


def log_of(own: DemoServer) -> str:
    return own.child.stderr_tail(1 << 22)


def pids_of(own: DemoServer) -> set[int]:
    return {child.pid for child in running_workers(own.child.pid)}


def all_pids_of(own: DemoServer, workers: int = 2) -> set[int]:
    """Wait until there are so many workers."""
    return {child.pid for child in all_workers(own.child.pid, workers)}


def reload_and_wait(own: DemoServer, workers: int = 2) -> None:
    """Send the signal and wait until each worker has stepped back."""
    before = log_of(own).count('"draining"')
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: log_of(own).count('"draining"') == before + workers)


def begin_reload(own: DemoServer, node: RpcProxy) -> None:
    """Send the signal, and wait until the first successor is starting. It goes on when `node` is open again."""
    workers = len(pids_of(own))
    node.open.clear()
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: len(pids_of(own)) == workers + 1)


def signal_reload(own: DemoServer) -> None:
    """Send the signal while a reload is under way, and wait until the supervisor has taken it."""
    before = log_of(own).count('"reloading"')
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: log_of(own).count('"reloading"') == before + 1)


def ended(own: DemoServer) -> int:
    os.kill(own.child.pid, signal.SIGTERM)
    return own.child._process.wait(60)


@contextmanager
def keep_asking(own: DemoServer, threads: int) -> Iterator[list[object]]:
    """Ask over kept connections without pause; yields the list of failures."""
    failures: list[object] = []
    stop = threading.Event()
    parts = urlsplit(own.url)

    def ask() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        while not stop.is_set():
            try:
                connection.request("GET", NONCE_TARGET)
                reply = connection.getresponse()
                reply.read()
                if reply.status != 200:
                    failures.append(reply.status)
            except (OSError, http.client.HTTPException) as exc:
                failures.append(exc)
                connection.close()
        connection.close()

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(ask)
        try:
            yield failures
        finally:
            stop.set()


@pytest.mark.parametrize(("start", "workers", "times"), [("forked", 2, 3), ("forked", 1, 3), ("executed", 2, 1)])
def test_rolling_reload_under_load_fails_no_request_and_cuts_no_stream(
    launch: LaunchServer,
    launch_executed: LaunchServer,
    chain: DemoChain,
    sell: Sell,
    origin: Origin,
    start: str,
    workers: int,
    times: int,
    tmp_path: Path,
) -> None:
    """Workers of a forked server start at once. Those of an executed one import their program first."""
    size = 20_000_000
    (tmp_path / "provider.toml").touch()
    own = (launch if start == "forked" else launch_executed)(
        PROVIDER_WORKERS=str(workers), PROVIDER_CONFIG_FILE=str(tmp_path / "provider.toml")
    )
    buyer = Consumer(chain.wallet(CONSUMER_KEY), own.url)
    target = buyer.download_url(*sell(url_file(f"{origin.url}/bytes/{size}"))).removeprefix(own.url)
    before = all_pids_of(own, workers)
    with connected(own.url) as stream, keep_asking(own, 4) as failures:
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = bytearray(stream.recv(1000))
        for _ in range(times):
            reload_and_wait(own, workers)
        # The worker with the stream outlives all reloads, and ends when it is done.
        wait_until(lambda: len(before & pids_of(own)) == 1)
        while piece := stream.recv(1 << 20):
            received += piece
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert hashlib.sha256(body).hexdigest() == pattern_sha256(size)
    assert failures == []
    wait_until(lambda: len(pids_of(own)) == workers)
    assert not before & pids_of(own)
    assert ended(own) == 0
    assert tracebacks(log_of(own)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_reload_takes_the_settings_of_its_moment(launch: LaunchServer, tmp_path: Path, workers: int) -> None:
    config = tmp_path / "provider.toml"
    config.write_text("[server]\nmax_body_bytes = 2000\n")
    own = launch(PROVIDER_WORKERS=str(workers), PROVIDER_CONFIG_FILE=str(config))
    encrypt = f"{own.url}/api/services/encrypt?chainId=8996"
    headers = {"Content-Type": "application/octet-stream"}
    assert request("POST", encrypt, body=bytes(3000), headers=headers).status == 413
    config.write_text("[server]\nmax_body_bytes = 4000\n")
    reload_and_wait(own, workers)
    assert request("POST", encrypt, body=bytes(3000), headers=headers).status == 201
    assert ended(own) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nmax_body_bytes = 'many'\n", "reload refused, nothing changed"),
        ("[storage]\npath = '/elsewhere/x.db'\n", "reload refused, nothing changed"),
        ("[chains]\naddress_file = '{folder}/none.json'\n", "reload given up"),
    ],
    ids=["settings are wrong", "nonces elsewhere", "worker cannot start"],
)
def test_failed_reload_leaves_the_old_workers(
    launch: LaunchServer, chain: DemoChain, tmp_path: Path, text: str, said: str
) -> None:
    config = tmp_path / "provider.toml"
    serving, _ = serving_and_faulty(chain, tmp_path)
    config.write_text(serving)
    own = launch(PROVIDER_WORKERS="2", PROVIDER_CONFIG_FILE=str(config), STORAGE_PATH="", ADDRESS_FILE="")
    before = all_pids_of(own)
    kept = "" if "[storage]" in text else serving.partition("[chains]")[0]
    config.write_text(kept + text.replace("{folder}", str(tmp_path)))
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: said in log_of(own))
    wait_until(lambda: pids_of(own) == before)
    assert request("GET", own.url + NONCE_TARGET).status == 200
    replaced_when_killed(own)
    assert ended(own) == 0


def replaced_when_killed(own: DemoServer) -> None:
    """Kill one worker: another one serves in its place."""
    before, started = all_pids_of(own), log_of(own).count('"listening"')
    os.kill(max(before), signal.SIGKILL)
    wait_until(lambda: log_of(own).count('"listening"') == started + 1)
    wait_until(lambda: len(pids_of(own)) == 2 and max(before) not in pids_of(own))


def serving_and_faulty(chain: DemoChain, folder: Path) -> tuple[str, str]:
    """Settings files: one to serve with, and one with which no worker starts, for want of its chain's contracts."""
    (folder / "all.json").write_text(chain.contracts.address_file())
    (folder / "none.json").write_text("{}")
    storage = f"[storage]\npath = '{folder}/x.db'\n"
    serving, faulty = (f"{storage}[chains]\naddress_file = '{folder}/{name}.json'\n" for name in ("all", "none"))
    return serving, faulty


def test_reload_over_a_faulty_one_falls_back_to_what_served(
    launch: LaunchServer, chain: DemoChain, node: RpcProxy, tmp_path: Path
) -> None:
    config = tmp_path / "provider.toml"
    serving, faulty = serving_and_faulty(chain, tmp_path)
    config.write_text(serving)
    own = launch(
        PROVIDER_WORKERS="2",
        PROVIDER_CONFIG_FILE=str(config),
        NETWORK_URL=node.url,
        STORAGE_PATH="",
        ADDRESS_FILE="",
    )
    before = all_pids_of(own)
    config.write_text(faulty)
    # The second signal finds the first successor still starting.
    begin_reload(own, node)
    signal_reload(own)
    node.open.set()
    wait_until(lambda: "reload given up" in log_of(own))
    wait_until(lambda: pids_of(own) == before)
    replaced_when_killed(own)
    # Nobody is left who has the settings that are known to serve.
    started, before = log_of(own).count('"listening"'), all_pids_of(own)
    begin_reload(own, node)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not before & pids_of(own))
    node.open.set()
    wait_until(lambda: log_of(own).count('"listening"') == started + 2)
    # The mended file is taken, although the faulty reload before it is still failing.
    begin_reload(own, node)
    config.write_text(serving)
    stepped_back = log_of(own).count('"draining"')
    signal_reload(own)
    node.open.set()
    wait_until(lambda: log_of(own).count('"draining"') == stepped_back + 2)
    assert ended(own) == 0


def test_idle_connection_of_a_retired_worker_gets_one_more_answer(launch: LaunchServer) -> None:
    own = launch(PROVIDER_WORKERS="2")
    with connected(own.url) as kept:
        ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        kept.sendall(ask)
        assert "connection" not in read_reply(kept).headers
        reload_and_wait(own)
        kept.sendall(ask)
        reply = read_reply(kept)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert kept.recv(1) == b""
    assert ended(own) == 0


def test_restarts_are_counted_by_reason_whichever_worker_tells(launch: LaunchServer) -> None:
    own = launch(PROVIDER_WORKERS="2")
    wait_until(lambda: log_of(own).count('"listening"') == 2)

    def restarts(reason: str) -> float | None:
        """None while the worker that tells is being replaced."""
        try:
            return scrape(own.admin_url).samples[("provider_worker_restarts_total", (("reason", reason),))]
        except (OSError, http.client.HTTPException):
            return None

    assert (restarts("died"), restarts("reload")) == (0, 0)
    for pid in pids_of(own):
        os.kill(pid, signal.SIGKILL)
    # The first worker tells, and it is another one now.
    wait_until(lambda: log_of(own).count('"listening"') == 4)
    wait_until(lambda: restarts("died") == 2)
    reload_and_wait(own)
    wait_until(lambda: restarts("reload") == 2)
    assert restarts("died") == 2
    assert ended(own) == 0


def kill_during_a_reload(own: DemoServer, node: RpcProxy) -> None:
    """Kill every worker while the first successor is still starting."""
    before = all_pids_of(own)
    started = log_of(own).count('"listening"')
    begin_reload(own, node)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not before & pids_of(own))
    node.open.set()
    wait_until(lambda: log_of(own).count('"listening"') >= started + 2)
    assert not before & all_pids_of(own)


def test_workers_killed_during_a_reload_are_replaced_once(launch: LaunchServer, node: RpcProxy) -> None:
    own = launch(PROVIDER_WORKERS="2", NETWORK_URL=node.url)
    # Those that are killed the second time have only just started.
    for _ in range(2):
        kill_during_a_reload(own, node)
        assert request("GET", own.url + NONCE_TARGET).status == 200
    assert ended(own) == 0


def test_stop_in_the_middle_of_a_reload_is_a_stop_like_any_other(launch: LaunchServer, node: RpcProxy) -> None:
    own = launch(PROVIDER_WORKERS="2", NETWORK_URL=node.url)
    all_pids_of(own)
    begin_reload(own, node)
    assert ended(own) == 0
    assert tracebacks(log_of(own)) == []


def test_stop_while_a_successor_imports_its_program_is_a_stop_like_any_other(launch_executed: LaunchServer) -> None:
    own = launch_executed(PROVIDER_WORKERS="2")
    all_pids_of(own)
    os.kill(own.child.pid, signal.SIGHUP)
    wait_until(lambda: len(pids_of(own)) == 3, every_seconds=0.01)
    assert ended(own) == 0
    assert tracebacks(log_of(own)) == []
