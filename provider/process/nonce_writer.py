"""Starts and ends the process that writes nonces for all workers (`auth/nonce_writer.py`)."""

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from provider.process.worker_context import EXIT_CRASHED, EXIT_DRAINED, EXIT_FAILED

log = logging.getLogger("provider.server")

# One that dies this soon after its start is started again after a pause.
RESTART_PAUSE_SECONDS = 1.0
# With no worker left it has nothing to do, so that this only bounds a stuck disk.
END_SECONDS = 5.0


class WriterProcess:
    """Starts the writer of the file at `path`, again when it dies, and ends it after the workers.

    `directory`: shared with the workers. `prepare`: called in the new process, to let go of what is not its own.
    `life_line`: the read end of a pipe that ends with the supervisor.
    """

    def __init__(self, path: Path, directory: str, prepare: Callable[[], None], *, life_line: int) -> None:
        self._path = path
        self._directory = directory
        self._prepare = prepare
        self._life_line = life_line
        self._pid: int | None = None
        self._started_at = 0.0
        self._due_at: float | None = 0.0

    @property
    def is_due(self) -> bool:
        """True if it must be started as soon as its pause is over."""
        return self._due_at is not None

    def start_if_due(self) -> None:
        """Start it unless it runs or its pause is not over."""
        now = time.monotonic()
        if self._due_at is None or now < self._due_at:
            return
        self._due_at, self._started_at = None, now
        pid = os.fork()
        if pid == 0:
            self._become_writer()
        self._pid = pid

    def has_ended(self, pid: int, status: int) -> bool:
        """Record a child that ended. Returns False if that is another process."""
        if pid != self._pid:
            return False
        self._pid = None
        if status == EXIT_FAILED:
            # It has logged why, and would fail again.
            return True
        log.error("nonce writer ended, restarting it", extra={"fields": {"status": status}})
        early = self._started_at + RESTART_PAUSE_SECONDS > time.monotonic()
        self._due_at = time.monotonic() + RESTART_PAUSE_SECONDS if early else 0.0
        return True

    def wait(self) -> None:
        """Wait until it has ended. Its life line must have ended before."""
        deadline = time.monotonic() + END_SECONDS
        while self._pid is not None:
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                self._pid = None
                return
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.01)

    def _become_writer(self) -> NoReturn:
        status = EXIT_CRASHED
        try:
            with suppress(OSError):
                # So that `ps` and `top` tell it from a worker.
                Path("/proc/self/comm").write_text("nonce-writer")
            self._prepare()
            # Imported here, so that the supervisor stays small.
            from provider.auth.nonce_writer import serve_nonces  # noqa: PLC0415

            serve_nonces(self._path, self._directory, life_line=self._life_line)
            status = EXIT_DRAINED
        except OSError as error:
            log.warning(
                "the nonce writer cannot listen, so workers write nonces themselves: %s",
                error.strerror or type(error).__name__,
            )
            status = EXIT_FAILED
        finally:
            if status == EXIT_CRASHED:
                # No exception from here gets past the exit below.
                log.error("nonce writer failed", exc_info=True)
            os._exit(status)
