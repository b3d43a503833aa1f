"""Parts of the benchmarks that are real programs and devices: rivals, distance and a slow disk."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks import certificates, distance, haproxy, nginx, peers, throttle, varnish
from benchmarks.daemon import Daemon, PartFailed
from benchmarks.load import Load
from benchmarks.peers import PeerAbsent, Setting
from benchmarks.plans import ConnectionPlan, Plan
from provider.testing.http_client import request
from provider.testing.ports import free_ports

ROUND_TRIP_MS = 60
BODY = os.urandom(300_000)


@contextmanager
def origin(folder: Path, *, tls: bool = False, far: distance.Distance | None = None) -> Iterator[tuple[Daemon, int]]:
    """nginx with one file `/f`, and the port to ask."""
    program = nginx.find()
    if program is None:
        pytest.skip("nginx is not installed")
    root = folder / "www"
    root.mkdir()
    (root / "f").write_bytes(BODY)
    plain, secure = free_ports(2)
    certificate = certificates.make(folder) if tls else None
    with nginx.origin(program, folder, plain, root, tls_port=secure, certificate=certificate, distance=far) as running:
        yield running, secure if tls else plain


@contextmanager
def line() -> Iterator[distance.Distance]:
    try:
        with distance.opened(ROUND_TRIP_MS) as far:
            yield far
    except PartFailed as reason:
        pytest.skip(str(reason))


def test_a_daemon_ends_with_what_it_started(tmp_path):
    (port,) = free_ports(1)
    script = f"sleep 1000 & echo $! > {tmp_path}/beside; exec {sys.executable} -m http.server {port} --bind 127.0.0.1"
    with Daemon("pair", ["sh", "-c", script], tmp_path, port):
        beside = int((tmp_path / "beside").read_text())
        assert Path(f"/proc/{beside}").exists()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _is_running(beside):
        time.sleep(0.01)
    assert not _is_running(beside)


def _is_running(pid: int) -> bool:
    """Not gone, and not waiting for somebody to look at its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "https"])
def test_varnish_asks_an_origin_once(tmp_path, tls):
    if varnish.find() is None or (tls and haproxy.find() is None):
        pytest.skip("Varnish, or haproxy for it, is not installed")
    sent = nginx.BytesCounter(nginx.bytes_log(tmp_path))
    (port,) = free_ports(1)
    with origin(tmp_path, tls=tls) as (_, asked):
        setting = Setting(tmp_path, tmp_path, f"127.0.0.1:{asked}", tls)
        with peers.varnish_peer().start(setting, port):
            url = f"http://127.0.0.1:{port}/f"
            assert request("GET", url).body == BODY
            assert request("GET", url, headers={"Range": "bytes=100-299"}).body == BODY[100:300]
    assert sent() == len(BODY)


def test_a_rival_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(varnish, "find", lambda: None)
    with pytest.raises(PeerAbsent, match="Varnish is not installed"):
        peers.varnish_peer().start(Setting(tmp_path, tmp_path, "127.0.0.1:1", False), 1)


def test_a_distant_origin_takes_a_round_trip_for_each_exchange(tmp_path):
    with line() as far, origin(tmp_path, far=far) as (running, port):
        assert running.host == far.address
        began = time.monotonic()
        with socket.create_connection((far.address, port), timeout=60) as connection:
            assert time.monotonic() - began >= ROUND_TRIP_MS / 1000
            # Segments are those of an Ethernet, so that windows count what they count elsewhere.
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1460
        plan = ConnectionPlan((b"GET /f HTTP/1.1\r\nHost: o\r\n\r\n",), 200, len(BODY), sha256(BODY).hexdigest(), 1)
        with Load() as load:
            result = load.run(Plan(port, (plan,), host=far.address))
        # A window of ten segments does not hold the file, so there are several exchanges.
        assert result.p50_seconds >= 2 * ROUND_TRIP_MS / 1000
        assert result.first_byte_min_seconds >= ROUND_TRIP_MS / 1000


def test_a_line_leaves_nothing_behind():
    with line() as far:
        pass
    assert not Path(f"/proc/{far.pid}").exists()
    names = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert f"bn{os.getpid()}" not in names


def test_a_distance_needs_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PartFailed, match="skipped, because"), distance.opened(1):
        pass


def test_a_slow_disk_holds_back_those_who_are_in_its_group(tmp_path):
    path, slow_bytes = tmp_path / "f", 8_000_000
    path.write_bytes(os.urandom(slow_bytes))
    read = (
        "import os, sys, time; sys.stdin.readline(); f = os.open(sys.argv[1], os.O_RDONLY); os.fsync(f);"
        "os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED); b = time.monotonic()\n"
        "while os.read(f, 1 << 20): pass\n"
        "print(time.monotonic() - b)"
    )

    def started() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", read, str(path)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    try:
        with throttle.throttled(tmp_path, slow_bytes) as slow:
            child = started()
            slow.slow([child.pid])
            held_back, _ = child.communicate("\n", timeout=60)
            group = slow.group
    except PartFailed as reason:
        pytest.skip(str(reason))
    assert float(held_back) >= 0.7
    assert not group.exists()


def test_what_lies_in_memory_has_no_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(throttle, "_DEVICES", tmp_path)
    with pytest.raises(PartFailed, match="is not on a disk"):
        throttle.disk_of(tmp_path)
