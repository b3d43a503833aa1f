"""One worker as a process: what it is given, and its life from the event loop's start to an exit status."""

import gc
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from provider.config import Settings
from provider.crypto.certificate import ServerTls
from provider.errors.start import StartError
from provider.observability.logs import DebugSwitch

log = logging.getLogger("provider.server")

EXIT_DRAINED = 0
EXIT_FAILED = 1
"""The start failed; the log names the setting."""
EXIT_CUT = 3
"""Stopped as asked, but the drain deadline passed and requests under way were cut."""
EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h; between a worker and its supervisor only


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Where a worker stands: its sockets, and how it and its supervisor hear of each other (descriptors, or None).

    `first`: it does what one of all workers does. `ready` is written to once it listens, `life_line` ends with the
    supervisor, `alone` ends when the other workers have. `debug`: what SIGUSR1 asks to look at.
    """

    listener: socket.socket
    admin_sockets: Sequence[socket.socket]
    shared_directory: str | None = None
    first: bool = True
    ready: int | None = None
    life_line: int | None = None
    alone: int | None = None
    debug: DebugSwitch | None = None


def run_worker(settings: Settings, context: WorkerContext, tls: ServerTls | None) -> int:
    """Serve until told to stop; the exit status."""
    # Imported here, after a supervisor has forked and chosen how metrics are shared.
    import uvloop  # noqa: PLC0415

    from provider.process.worker import run  # noqa: PLC0415

    # What is imported by now stays for good: the collector need not walk it again and again.
    gc.freeze()
    try:
        return EXIT_DRAINED if uvloop.run(run(settings, context, tls)) else EXIT_CUT
    except StartError as error:
        log.error(str(error))
        return EXIT_FAILED
