"""A foreign server as a child process: started, awaited, stopped. If it does not start, its output is shown."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LOCALHOST = "127.0.0.1"
START_SECONDS = 10.0
STOP_SECONDS = 5.0


class PartFailed(Exception):
    """A part of the stage did not start. The message contains its output."""


class Daemon:
    """A process that listens on `port` of `host`. Its output goes to `<name>.output` in `folder`.

    Leaving its block ends it, and what it started in its own process group.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        port: int,
        *,
        environ: Mapping[str, str] | None = None,
        host: str = LOCALHOST,
    ) -> None:
        self.name, self.host, self.port = name, host, port
        self._output = (folder / f"{name}.output").open("w+b")
        self._process = subprocess.Popen(
            list(command),
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id. The process may have children."""
        return self._process.pid

    def __enter__(self) -> "Daemon":
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise PartFailed(f"{self.name} did not start: {self._tail()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _accepts(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _tail(self) -> str:
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace").strip()[-1000:]

    def _stop(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._output.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
