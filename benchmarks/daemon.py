"""A foreign server as a child process: started, waited for, stopped; what it said is told when it did not start."""

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_SECONDS = 10.0
STOP_SECONDS = 5.0


class PartFailed(Exception):
    """A part of the stage did not start; the message holds what it said."""


class Daemon:
    """A process that listens on `port` of 127.0.0.1; its output goes to `<name>.output` in `folder`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        port: int,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.port = name, port
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
        """Process id; there may be workers below it."""
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
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _tail(self) -> str:
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace").strip()[-1000:]

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
