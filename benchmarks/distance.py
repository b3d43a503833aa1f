"""An origin far away: a network namespace behind a line on which each packet takes its time.

With netem, where the kernel has it, on a pair of veth devices; otherwise with `delay_line.py`. Both need root.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.daemon import PartFailed
from benchmarks.machine import ROOT

STOP_SECONDS = 5.0
# The queue of netem, more than any window of this line. It drops what comes on top.
_NETEM_PACKETS = 100_000
_PROGRAMS = ("ip", "tc", "nsenter")


@dataclass(frozen=True, slots=True)
class Distance:
    """A namespace at the other end of a line. `address`: its own; `enter`: what a command there begins with; `pid`: the
    program that carries the packets, or keeps the namespace where the kernel carries them; `label`: for the result.
    """

    address: str
    enter: tuple[str, ...]
    pid: int
    label: str


@contextmanager
def opened(round_trip_ms: float) -> Iterator[Distance]:
    """Make a line of so many ms. Raises PartFailed where there can be none."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0 or missing or not Path("/dev/net/tun").exists():
        why = f"without {' and '.join(missing)}" if missing else "without root and /dev/net/tun"
        raise PartFailed(f"skipped, because a distant origin cannot be made {why}")
    near, far = f"bn{os.getpid()}", f"bf{os.getpid()}"
    # 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
    network = f"198.18.{os.getpid() % 256}"
    has_netem = _has_netem(near)
    seconds = 0.0 if has_netem else round_trip_ms / 2000
    with _running(near, far, f"{network}.1", seconds) as process:
        enter = ("nsenter", f"--net=/proc/{process.pid}/ns/net")
        if has_netem:
            _join(near, far, network, process.pid, enter, round_trip_ms / 2)
        how = "netem" if has_netem else "TUN devices and delay_line.py"
        yield Distance(f"{network}.2", enter, process.pid, f"{round_trip_ms:g} ms away by {how}; {_tcp(enter)}")


@contextmanager
def _running(near: str, far: str, address: str, seconds: float) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.delay_line", near, far, address, str(seconds)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise PartFailed("skipped, because this host refuses network namespaces or TUN devices")
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _has_netem(name: str) -> bool:
    """Ask the kernel, with a device that is removed at once."""
    if _tried("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"):
        found = _tried("tc", "qdisc", "add", "dev", name, "root", "netem", "delay", "1ms")
        _tried("ip", "link", "delete", name)
        return found
    return False


def _join(near: str, far: str, network: str, pid: int, enter: tuple[str, ...], delay_ms: float) -> None:
    """Join the namespace of the process by two devices with netem. They end with the namespace. Raises PartFailed."""
    commands = [("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", str(pid))]
    netem = ("delay", f"{delay_ms}ms", "limit", str(_NETEM_PACKETS))
    for name, address, prefix in ((near, f"{network}.1/30", ()), (far, f"{network}.2/30", enter)):
        commands += [
            (*prefix, "ip", "address", "add", address, "dev", name),
            (*prefix, "ip", "link", "set", name, "up"),
            (*prefix, "tc", "qdisc", "add", "dev", name, "root", "netem", *netem),
        ]
    for command in commands:
        if not _tried(*command):
            raise PartFailed(f"skipped, because this failed: {' '.join(command)}")


def _tcp(enter: tuple[str, ...]) -> str:
    """What bounds a stream there: the sender's buffer and its congestion control."""
    names = ("net.ipv4.tcp_wmem", "net.ipv4.tcp_congestion_control")
    command = [*enter, "sysctl", "-n", *names]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    if len(said) != len(names):
        return "TCP as the kernel has it"
    return f"TCP {said[1]}, send buffers of up to {int(said[0].split()[-1]) / (1 << 20):g} MiB"


def _tried(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
