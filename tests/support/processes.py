"""Test servers that run as separate processes and print one JSON line when they are ready."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.measured import unmeasured_environ
from tests.support.origin import wait_until

HERE = Path(__file__).parent
NONCE_WRITER = "nonce-writer"


@contextmanager
def running(script: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run `tests/support/<script>`, return its ready line, and end it with the context."""
    # -P: modules beside the script must not hide those of the standard library.
    command = [sys.executable, "-P", str(HERE / script), *arguments]
    with subprocess.Popen(
        command, env=unmeasured_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(process.stderr.read())
        try:
            yield json.loads(line)
        finally:
            process.kill()


def running_workers(pid: int) -> list[psutil.Process]:
    """Return the workers of a server that have not ended, whether or not the ended ones were waited for.

    A new writer of nonces is among them until it has its name.
    """
    return [child for child, name in _running_children(pid) if name != NONCE_WRITER]


def all_workers(pid: int, count: int = 2) -> list[psutil.Process]:
    """Wait until a server has `count` workers and no other child without a name. Return them."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        found[:] = running_workers(pid)
        return len(found) == count

    wait_until(are_there)
    return found


def nonce_writer(pid: int) -> psutil.Process | None:
    """Return the process that writes nonces for the workers of a server, if it runs."""
    return next((child for child, name in _running_children(pid) if name == NONCE_WRITER), None)


def _running_children(pid: int) -> Iterator[tuple[psutil.Process, str]]:
    """The children of a process that have not ended, and their names."""
    # psutil would look at every process of the machine.
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(child))
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process, process.name()
