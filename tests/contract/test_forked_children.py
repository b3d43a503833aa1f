"""Children that are forked from a process that has imported the server, and those that are started as ever."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from provider.testing.child import Child, ChildFailed, Children, wait_until
from provider.testing.http_client import request
from provider.testing.ports import free_ports
from tests.support.forked_children import SERVE, ForkedChildren
from tests.support.own_network import NotAllowed, own_network

SERVER_NAME = "fork_server"
# Trusts no public authority, which takes a start less long.
UNSIGNED = {"SSL_CERT_FILE": os.devnull}
# Starts a server in ForkedChildren, prints its process id, and waits.
STARTER = """
import sys, time
from pathlib import Path
from tests.support.forked_children import SERVE, ForkedChildren
from tests.contract.test_forked_children import started
with ForkedChildren(sys.argv[1]) as children:
    print(started(children, Path(sys.argv[1])).pid, flush=True)
    time.sleep(600)
"""


def started(children: Children, folder: Path, **settings: str) -> Child:
    """A server that listens. Its node does not answer, which it does not need for that."""
    url, admin_url, node = (f"http://127.0.0.1:{port}" for port in free_ports(3))
    environ = {
        "NETWORK_URL": json.dumps({"137": node}),
        "PROVIDER_PRIVATE_KEY": json.dumps({"137": "0x" + "01" * 32}),
        "UNIVERSAL_PRIVATE_KEY": "0x" + "02" * 32,
        "OCEAN_PROVIDER_URL": url,
        "PROVIDER_ADMIN_URL": admin_url,
        "STORAGE_PATH": str(folder / f"{admin_url[-5:]}.db"),
    }
    child = children.start("server", SERVE, environ | settings)
    wait_until(lambda: answers(f"{admin_url}/healthz"), child, timeout_seconds=60)
    return child


def answers(url: str) -> bool:
    try:
        return request("GET", url).status == 200
    except OSError:
        return False


def is_fork(child: Child) -> bool:
    return SERVER_NAME in " ".join(psutil.Process(child.pid).cmdline())


def gone(pid: int) -> bool:
    try:
        psutil.Process(pid).wait(60)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedChildren]:
    with ForkedChildren(str(tmp_path_factory.mktemp("forked")), UNSIGNED) as forked:
        yield forked


@pytest.fixture(scope="module")
def as_ever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with Children(str(tmp_path_factory.mktemp("as ever")), UNSIGNED) as each:
        yield each


@pytest.fixture(params=["children", "as_ever"])
def either(request: pytest.FixtureRequest) -> Children:
    found: Children = request.getfixturevalue(request.param)
    return found


def test_a_server_that_cannot_start_ends_with_its_status_and_says_why(either: Children) -> None:
    child = either.start("server", SERVE, {"PROVIDER_WORKERS": "many"})
    with pytest.raises(ChildFailed, match=r"(?s)server ended with status 2:\n.*PROVIDER_WORKERS .*must be"):
        child.read_ready_line(60)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_signal_ends_a_server(either: Children, tmp_path: Path, number: signal.Signals, status: int) -> None:
    child = started(either, tmp_path)
    child.check()
    os.kill(child.pid, number)
    assert child._process.wait(60) == status
    with pytest.raises(ChildFailed, match=f"ended with status {status}"):
        child.check()


def test_a_server_has_a_session_a_folder_and_an_environment_of_its_own(either: Children, tmp_path: Path) -> None:
    child = started(either, tmp_path, LOG_LEVEL="WARNING")
    process = psutil.Process(child.pid)
    assert os.getsid(child.pid) == child.pid
    assert process.cwd() == os.getcwd()
    # Of the descriptors it has, none is that of another server or of the fork server.
    other = started(either, tmp_path)
    sockets = {connection.laddr.port for connection in process.net_connections("tcp") if connection.laddr}
    assert len(sockets) == 2
    other.stop()
    child.check()
    child.stop()


def test_the_same_fork_server_serves_all_of_the_same_environment(children: ForkedChildren, tmp_path: Path) -> None:
    one, two = started(children, tmp_path), started(children, tmp_path, LOG_LEVEL="WARNING", TMPDIR="/tmp")
    assert is_fork(one)
    assert is_fork(two)
    assert psutil.Process(one.pid).ppid() == psutil.Process(two.pid).ppid()


@pytest.mark.parametrize("variable", ["PYTHONHASHSEED", "LD_BIND_NOW", "SSL_CERT_FILE"])
def test_a_variable_that_is_read_at_the_start_of_a_process_gets_one(
    children: ForkedChildren, variable: str, tmp_path: Path
) -> None:
    child = started(
        children, tmp_path, **{variable: "1" if variable != "SSL_CERT_FILE" else str(tmp_path / "absent.pem")}
    )
    assert not is_fork(child)
    assert psutil.Process(child.pid).environ()[variable]


def test_another_command_gets_a_process(children: ForkedChildren, tmp_path: Path) -> None:
    child = children.start("other", ["-c", "print('{}', flush=True); import time; time.sleep(600)"])
    assert child.read_ready_line(60) == {}
    assert not is_fork(child)


def network_of(child: Child) -> str:
    return os.readlink(f"/proc/{child.pid}/ns/net")


def test_a_server_is_in_the_network_of_who_starts_it(children: ForkedChildren, tmp_path: Path) -> None:
    servers = [started(children, tmp_path)]
    try:
        with own_network():
            servers.append(started(children, tmp_path))
            assert network_of(servers[1]) == os.readlink("/proc/thread-self/ns/net")
    except NotAllowed as exc:
        pytest.skip(str(exc))
    servers.append(started(children, tmp_path))
    assert all(is_fork(child) for child in servers)
    assert network_of(servers[0]) == network_of(servers[2]) == os.readlink("/proc/thread-self/ns/net")
    assert network_of(servers[0]) != network_of(servers[1])


def test_servers_die_with_their_fork_server_and_the_next_ones_start_all_the_same(tmp_path: Path) -> None:
    with ForkedChildren(str(tmp_path), UNSIGNED) as children:
        child = started(children, tmp_path)
        os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
        assert child._process.wait(60) == -signal.SIGKILL
        assert gone(child.pid)
        again = started(children, tmp_path)
        assert not is_fork(again)


def test_nothing_is_left_after_the_block(tmp_path: Path) -> None:
    with ForkedChildren(str(tmp_path), UNSIGNED) as children:
        child = started(children, tmp_path, PROVIDER_WORKERS="2")
        left = {child.pid, psutil.Process(child.pid).ppid()}
        left |= {worker.pid for worker in psutil.Process(child.pid).children()}
    assert len(left) >= 4
    assert all(gone(pid) for pid in left)


def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        server = psutil.Process(pid).ppid()
        tests.kill()
    assert gone(pid)
    assert gone(server)
