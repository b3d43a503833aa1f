"""A separate network for tests (network_namespaces(7)), whose packets can be dropped without affecting the machine."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, linux/sched.h
_SET_FLAGS, _UP = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP, netdevice(7)
_CHANCE = ("-m", "statistic", "--mode", "random", "--probability")


class NotAllowed(Exception):
    """This machine does not allow such a network. The message says why."""


@dataclass
class Firewall:
    """Rules within the network; each drops packets to and from one port."""

    rules: list[tuple[str, ...]] = field(default_factory=list)

    def drop(self, url: str, *, probability: float = 1.0) -> None:
        """Drop what goes to and comes from the port of `url`, with this probability."""
        port = str(urlsplit(url).port)
        chance = (*_CHANCE, str(probability)) if probability < 1 else ()
        for side in ("--dport", "--sport"):
            rule = ("INPUT", "-i", "lo", "-p", "tcp", side, port, *chance, "-j", "DROP")
            _iptables("-I", *rule)
            self.rules.append(rule)

    def heal(self) -> None:
        """Remove the rules."""
        while self.rules:
            _iptables("-D", *self.rules.pop())


@contextmanager
def own_network() -> Iterator[None]:
    """Create a network that has only `lo`, for this thread and all threads and processes that it starts.

    It ends with the last of them, so a killed run leaves no rule behind. Raises NotAllowed.
    """
    if not shutil.which("iptables"):
        raise NotAllowed("iptables is not installed")
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as machine:
        if libc.unshare(_NEW_NETWORK):
            raise NotAllowed(f"no right to make a network: {os.strerror(ctypes.get_errno())}")
        try:
            _set_up()
            yield
        finally:
            if libc.setns(machine.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "cannot go back to the network of the machine")


def _set_up() -> None:
    with socket.socket() as sock:
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP))
    try:
        _iptables("-S", "INPUT")
    except subprocess.CalledProcessError as exc:
        raise NotAllowed("no right to drop packets") from exc


def _iptables(*arguments: str) -> None:
    subprocess.run(["iptables", "-w", *arguments], check=True, capture_output=True)
