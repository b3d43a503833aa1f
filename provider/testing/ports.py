"""Free ports for servers that must know theirs before they start."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from itertools import cycle, islice
from pathlib import Path

_LOWEST = 10_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
# More than one process gives away while one of its servers starts.
_BLOCK_PORTS = 200


def free_ports(count: int) -> list[int]:
    """Return ports on 127.0.0.1 that nobody listens on right now, and that no call returns again soon.

    If possible they are outside the range that the system gives to outgoing connections (ip(7), `ip_local_port_range`):
    one of those might take the port first. Raises OSError if no port is free.
    """
    with ExitStack() as held:
        return [held.enter_context(_held()).getsockname()[1] for _ in range(count)]


def _held() -> socket.socket:
    for port in islice(_own_block(), _BLOCK_PORTS):
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            continue
    return socket.create_server(("127.0.0.1", 0))


@cache
def _own_block() -> Iterator[int]:
    """Return the ports of a block that belongs to this process, again and again; none if all blocks are taken.

    A port is free until its server has started. Two processes that looked in the same place would both find it.
    """
    for start in range(_LOWEST, _first_outgoing() - _BLOCK_PORTS + 1, _BLOCK_PORTS):
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                # Such a name is in no folder (unix(7), "abstract").
                claim.bind(f"\0provider-ports-{start}")
            except OSError:
                continue
            # It stays open until this process ends, which frees the name.
            claim.detach()
        return cycle(range(start, start + _BLOCK_PORTS))
    return iter(())


def _first_outgoing() -> int:
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError):
        return 0
