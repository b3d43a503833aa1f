"""Test servers that run as separate processes and print one JSON line when they are ready."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.measured import unmeasured_environ

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
    """Return the workers of a server that have not ended, whether or not the ended ones were waited for."""
    return [child for child in psutil.Process(pid).children() if _runs(child) and child.name() != NONCE_WRITER]


def nonce_writer(pid: int) -> psutil.Process | None:
    """Return the process that writes nonces for the workers of a server, if it runs."""
    children = psutil.Process(pid).children()
    return next((child for child in children if _runs(child) and child.name() == NONCE_WRITER), None)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
