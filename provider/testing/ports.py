"""Free ports for servers that must know theirs before they start."""

import secrets
import socket
from contextlib import ExitStack
from pathlib import Path

_LOWEST = 10_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 100


def free_ports(count: int) -> list[int]:
    """Return ports on 127.0.0.1 that nobody listens on right now.

    If possible they are outside the range that the system gives to outgoing connections (ip(7), `ip_local_port_range`):
    one of those might take the port first.
    """
    with ExitStack() as held:
        return [held.enter_context(_held()).getsockname()[1] for _ in range(count)]


def _held() -> socket.socket:
    choices = _first_outgoing() - _LOWEST
    for _ in range(_TRIES if choices > 0 else 0):
        try:
            return socket.create_server(("127.0.0.1", _LOWEST + secrets.randbelow(choices)))
        except OSError:
            continue
    return socket.create_server(("127.0.0.1", 0))


def _first_outgoing() -> int:
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError):
        return 0
