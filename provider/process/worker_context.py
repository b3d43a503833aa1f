"""The context of a worker process, and its run from the start of the event loop to an exit status."""

import gc
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from provider.config import Settings
from provider.crypto.certificate import ServerTls
from provider.errors.start import StartError
from provider.http1.balance import Share
from provider.observability.logs import DebugSwitch

log = logging.getLogger("provider.server")

EXIT_DRAINED = 0
EXIT_FAILED = 1
"""The start failed; the log names the setting."""
EXIT_CUT = 3
"""Stopped as asked, but the drain deadline passed and requests in progress were cut."""
EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h; only between a worker and its supervisor


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """A worker's sockets, and the descriptors that connect it with its supervisor (None without one).

    `share`: of the connections, if other workers accept from the same socket.
    `first`: it also does what one worker does for all.
    `ready`: the worker writes to it once it listens.
    `life_line`: ends when the supervisor dies.
    `alone`: ends when all other workers have ended.
    `debug`: the log level that SIGUSR1 switches.
    """

    listener: socket.socket
    admin_sockets: Sequence[socket.socket]
    share: Share | None = None
    shared_directory: str | None = None
    first: bool = True
    ready: int | None = None
    life_line: int | None = None
    alone: int | None = None
    debug: DebugSwitch | None = None


def run_worker(settings: Settings, context: WorkerContext, tls: ServerTls | None) -> int:
    """Serve until told to stop. Returns the exit status."""
    # Imported after a supervisor has forked and chosen how metrics are shared.
    import uvloop  # noqa: PLC0415

    from provider.process.worker import run  # noqa: PLC0415

    # Imported modules stay for good, so the collector need not walk them again and again.
    gc.freeze()
    try:
        return EXIT_DRAINED if uvloop.run(run(settings, context, tls)) else EXIT_CUT
    except StartError as error:
        log.error(str(error))
        return EXIT_FAILED
