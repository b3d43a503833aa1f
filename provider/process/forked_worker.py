"""One forked worker as its supervisor sees it: whether it serves yet, and how it ended."""

import os
import signal
import time
from dataclasses import dataclass, field

from provider.config import Settings
from provider.process.worker_context import EXIT_CUT, EXIT_DRAINED, EXIT_FAILED

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class ForkedWorker:
    """A running worker; `ready` is the end of a pipe that it writes to once it listens.

    `replaces`: the worker that serves its place until then, if there is one.
    """

    pid: int
    index: int
    ready: int
    settings: Settings
    started_at: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    replaces: int | None = None
    retiring: bool = False


def status_as_ours(status: int, *, served: bool) -> int:
    """The supervisor's exit status for that of a worker, which had `served` or was still starting."""
    # One that was still starting has nothing to drain and dies of the signal itself.
    if not served and -status in STOP_SIGNALS:
        return EXIT_DRAINED
    return status if status in (EXIT_DRAINED, EXIT_CUT) else EXIT_FAILED


def has_written(descriptor: int) -> bool:
    """Has the worker written to its end of this pipe?"""
    try:
        return os.read(descriptor, 1) == b"1"
    except BlockingIOError:
        return False


def ended_child() -> tuple[int, int] | None:
    """Process id and exit status (negative: signal) of one child that has ended."""
    try:
        pid, wait_status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(wait_status)) if pid else None
