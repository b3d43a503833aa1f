"""Ports for servers that have not started yet."""

import subprocess
import sys
from contextlib import ExitStack

from provider.testing.ports import free_ports

PROCESSES, PORTS = 4, 150
SHOW = f"""
from provider.testing.ports import free_ports
print(*(port for _ in range({PORTS}) for port in free_ports(1)), flush=True)
input()
"""


def test_a_port_is_not_given_away_twice_before_its_server_can_have_started() -> None:
    ports = [free_ports(1)[0] for _ in range(PORTS)]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SHOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
            )
            for _ in range(PROCESSES)
        ]
        told = [process.stdout.readline() for process in running if process.stdout is not None]
        for process in running:
            process.communicate(b"\n")
    ports += [int(port) for line in told for port in line.split()]
    assert len(ports) == (PROCESSES + 1) * PORTS
    assert len(set(ports)) == len(ports)
