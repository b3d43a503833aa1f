"""The processes: one worker, or a supervisor over several on one port (SO_REUSEPORT); start, drain, stop."""

import gc
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NoReturn

from provider.logs import set_up_logging
from provider.settings import Settings, share_metrics_through
from provider.start_error import StartError
from provider.tls import ServerTls, TlsFault

log = logging.getLogger("provider.server")
BACKLOG = 4096
EXIT_FAILED = 1
EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h; between a worker and its supervisor only
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A worker that dies within this time of its start is restarted only after a pause, so that a fault at start does not
# become a busy loop.
RESTART_PAUSE_SECONDS = 1.0


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status is 0 after a drain, 1 when the start failed."""
    set_up_logging(settings.log.level, settings.log.format)
    for warning in settings.warnings:
        log.warning(warning)
    _raise_descriptor_limit()
    try:
        tls = _tls(settings)
        sockets = _bind(settings)
        admin_sockets = _bind_admin(settings)
    except StartError as error:
        log.error(str(error))
        return EXIT_FAILED
    if settings.server.workers == 1:
        return _run_worker(settings, sockets[0], admin_sockets, tls)
    return _Supervisor(settings, sockets, admin_sockets, tls).run()


def _tls(settings: Settings) -> ServerTls | None:
    if settings.server.tls is None:
        return None
    # It asks for a look at the certificate; until somebody can look it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return ServerTls(settings.server.tls)
    except TlsFault as fault:
        raise StartError(f"PROVIDER_TLS_CERT_FILE, PROVIDER_TLS_KEY_FILE: {fault}") from fault


def _bind(settings: Settings) -> list[socket.socket]:
    """One listening socket a worker. The port must be free: SO_REUSEPORT alone would share it with a stranger."""
    listener, workers = settings.server.listener, settings.server.workers
    try:
        if workers > 1 and listener.port:
            _listen(listener.host, listener.port, shared=False).close()
        first = _listen(listener.host, listener.port, shared=workers > 1)
        port = first.getsockname()[1]
        return [first, *(_listen(listener.host, port, shared=True) for _ in range(workers - 1))]
    except OSError as exc:
        raise StartError(f"OCEAN_PROVIDER_URL: cannot listen there: {exc.strerror}") from exc


def _bind_admin(settings: Settings) -> list[socket.socket]:
    admin = settings.server.admin
    if admin is None:
        return []
    try:
        return [_listen(admin.host, admin.port, shared=False)]
    except OSError as exc:
        raise StartError(f"PROVIDER_ADMIN_URL: cannot listen there: {exc.strerror}") from exc


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _raise_descriptor_limit() -> None:
    """Each download holds two descriptors; the usual soft limit of 1024 would be the first thing to run out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run_worker(
    settings: Settings,
    listener: socket.socket,
    admin_sockets: Sequence[socket.socket],
    tls: ServerTls | None,
    *,
    shared_directory: str | None = None,
    first: bool = True,
    life_line: int | None = None,
) -> int:
    # Imported here, after a supervisor has forked and chosen how metrics are shared.
    import uvloop  # noqa: PLC0415

    from provider.worker import run  # noqa: PLC0415

    # What is imported by now stays for good: the collector need not walk it again and again.
    gc.freeze()
    try:
        uvloop.run(
            run(
                settings,
                listener,
                admin_sockets,
                tls,
                shared_directory=shared_directory,
                first=first,
                life_line=life_line,
            )
        )
    except StartError as error:
        log.error(str(error))
        return EXIT_FAILED
    return 0


class _Supervisor:
    """Forks the workers, restarts the dead, passes signals on. The first worker also holds the admin listener.

    Workers hold the read end of a pipe whose write end is ours alone: when we die, however, they see its end and stop.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        admin_sockets: Sequence[socket.socket],
        tls: ServerTls | None,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._sockets = sockets
        self._admin_sockets = admin_sockets
        self._directory = tempfile.mkdtemp(prefix="provider-metrics-")
        self._life_read, self._life_write = os.pipe()
        self._workers: dict[int, tuple[int, float]] = {}
        self._restarted: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """Supervise until every worker has ended; 0 when all of them drained."""
        share_metrics_through(self._directory)
        for number in STOP_SIGNALS:
            signal.signal(number, self._pass_on)
        if self._tls is not None:
            signal.signal(signal.SIGHUP, self._pass_hangup)
        worst = 0
        try:
            for index in range(self._settings.server.workers):
                self._start(index)
            while self._workers:
                worst = max(worst, self._wait_for_one())
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)
        return worst

    def _pass_on(self, number: int, _: object) -> None:
        self._stopping = True
        for pid in self._workers:
            os.kill(pid, number)
        # While one copy of a listening socket is open, the kernel takes connections that nobody will answer.
        for listener in (*self._sockets, *self._admin_sockets):
            listener.close()

    def _pass_hangup(self, number: int, _: object) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _start(self, index: int) -> None:
        # A signal between the look at `_stopping` and the entry below would miss the new worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        if not self._stopping:
            pid = os.fork()
            if pid == 0:
                self._become_worker(index)
            self._workers[pid] = (index, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _become_worker(self, index: int) -> NoReturn:
        status = EXIT_CRASHED
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            if self._tls is not None:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            os.close(self._life_write)
            listener = self._sockets[index]
            admin_sockets = self._admin_sockets if index == 0 else []
            for other in (*self._sockets, *self._admin_sockets):
                if other is not listener and other not in admin_sockets:
                    other.close()
            status = _run_worker(
                self._settings,
                listener,
                admin_sockets,
                self._tls,
                shared_directory=self._directory,
                first=index == 0,
                life_line=self._life_read,
            )
        finally:
            if status == EXIT_CRASHED:
                # Nothing that is raised here gets beyond the exit below.
                log.error("worker failed", exc_info=True)
            sys.stderr.flush()
            os._exit(status)

    def _wait_for_one(self) -> int:
        pid, wait_status = os.wait()
        index, started_at = self._workers.pop(pid)
        status = os.waitstatus_to_exitcode(wait_status)
        _forget_metrics(pid, self._directory)
        if self._stopping:
            return 0 if status == 0 else EXIT_FAILED
        if status == EXIT_FAILED and index not in self._restarted:
            # It has said why it cannot start, and that is as true of the others and of the next try.
            self._pass_on(signal.SIGTERM, None)
            return EXIT_FAILED
        self._restarted.add(index)
        log.error("worker ended, starting it again", extra={"facts": {"worker": index, "status": status}})
        if time.monotonic() - started_at < RESTART_PAUSE_SECONDS:
            time.sleep(RESTART_PAUSE_SECONDS)
        self._start(index)
        return 0


def _forget_metrics(pid: int, directory: str) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]
