"""Supervises the workers on one port: fork, restart after death, replace one after another on SIGHUP.

All workers accept from one listening socket, so that no connection waits where nobody accepts.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from provider.config import ServerConfig, Settings, SettingsError
from provider.crypto.certificate import ServerTls
from provider.http1.balance import Balance
from provider.observability.logs import DebugSwitch, set_up_logging
from provider.process.nonce_writer import WriterProcess
from provider.process.sockets import refuse_new_connections
from provider.process.worker_context import EXIT_CRASHED, EXIT_CUT, EXIT_DRAINED, EXIT_FAILED, WorkerContext, run_worker

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class ForkedWorker:
    """A running worker.

    `ready`: read end of a pipe; the worker writes to it once it listens.
    `replaces`: process id of the worker that serves until then, if there is one.
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
    """Map a worker's exit status to the supervisor's own. `served`: it had finished starting."""
    # A worker that was still starting has nothing to drain and dies of the signal itself.
    if not served and -status in STOP_SIGNALS:
        return EXIT_DRAINED
    return status if status in (EXIT_DRAINED, EXIT_CUT) else EXIT_FAILED


def has_written(descriptor: int) -> bool:
    """Tell whether the worker has written to its end of this pipe."""
    try:
        return os.read(descriptor, 1) == b"1"
    except BlockingIOError:
        return False


def ended_child() -> tuple[int, int] | None:
    """Return process id and exit status (negative: signal) of one child that has ended."""
    try:
        pid, wait_status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(wait_status)) if pid else None


log = logging.getLogger("provider.server")

RELOAD_SIGNAL = signal.SIGHUP
RETIRE_SIGNAL = signal.SIGQUIT
"""Tells a worker that its successor serves: finish the requests in progress within the reload limit."""
LEVEL_SIGNAL = signal.SIGUSR1
WATCHED = frozenset({*STOP_SIGNALS, RELOAD_SIGNAL, LEVEL_SIGNAL, signal.SIGCHLD})
# A worker that dies this soon after its start is restarted after a pause, so that a faulty start does not loop.
RESTART_PAUSE_SECONDS = 1.0
# A successor that does not listen by then (its node is silent, for example) is killed.
SUCCESSOR_SECONDS = 60.0
LOOK_SECONDS = 0.1


class Supervisor:
    """Forks the workers, restarts them when they die, forwards signals. The first worker also holds the admin listener.

    Workers hold the read end of a pipe whose write end belongs to the supervisor. When the supervisor dies, in whatever
    way, they see the end of the pipe and stop.
    """

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        admin_sockets: Sequence[socket.socket],
        tls: ServerTls | None,
        reread: Callable[[], Settings],
    ) -> None:
        """Prepare without forking.

        `listener`: all workers accept from it.
        `admin_sockets`: for the first worker.
        `reread`: returns the settings for workers started by a reload.
        """
        self._settings = self._proven = settings
        """The settings for new workers, and those with which every worker has served; they differ during a reload."""
        self._listener, self._admin_sockets = listener, admin_sockets
        self._worker_count = settings.server.workers
        self._balance = Balance(self._worker_count) if self._worker_count > 1 else None
        self._tls = tls
        self._reread = reread
        self._directory = tempfile.mkdtemp(prefix="provider-metrics-")
        self._life_read, self._life_write = os.pipe()
        self._alone_read, self._alone_write = os.pipe()
        self._debug = DebugSwitch()
        self._nonce_writer = self._make_nonce_writer()
        self._workers: dict[int, ForkedWorker] = {}
        self._due: list[tuple[float, int]] = []
        self._to_replace: list[int] = []
        self._restarted: set[int] = set()
        self._restarts: dict[str, int] = {}
        self._stopping = False
        self._status = EXIT_DRAINED

    def run(self) -> int:
        """Supervise until every worker has ended. Returns the worst of their exit statuses."""
        # Block signals and fetch them one by one, so that no handler runs between two steps.
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            for index in range(self._worker_count):
                self._start(index)
            if self._nonce_writer is not None:
                self._nonce_writer.start_if_due()
            while self._workers or self._due:
                self._step()
            os.close(self._life_write)
            if self._nonce_writer is not None:
                self._nonce_writer.wait()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)
        return self._status

    def _make_nonce_writer(self) -> WriterProcess | None:
        """Make the process that writes nonces; None with Redis, which holds them, and for a single worker."""
        if self._settings.redis is not None or self._worker_count == 1:
            return None
        path = Path(self._settings.storage_path)
        return WriterProcess(path, self._directory, self._become_no_worker, life_line=self._life_read)

    def _become_no_worker(self) -> None:
        """Let a new process go on when the others are told to stop, and let go of their sockets and pipes."""
        for number in (*STOP_SIGNALS, RETIRE_SIGNAL, RELOAD_SIGNAL, LEVEL_SIGNAL):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        _set_up_logging(self._settings, self._debug)
        os.close(self._life_write)
        if self._alone_write >= 0:
            os.close(self._alone_write)
        self._close_sockets()

    def _close_sockets(self) -> None:
        for listener in (self._listener, *self._admin_sockets):
            listener.close()

    def _step(self) -> None:
        is_writer_due = self._nonce_writer is not None and self._nonce_writer.is_due
        waiting = is_writer_due or self._due or any(not worker.is_ready for worker in self._workers.values())
        caught = signal.sigtimedwait(WATCHED, LOOK_SECONDS if waiting else 3600.0)
        number = caught.si_signo if caught else 0
        if number in STOP_SIGNALS:
            self._stop(number)
        elif number == RELOAD_SIGNAL:
            self._reload()
        elif number == LEVEL_SIGNAL:
            self._debug.turn()
            _set_up_logging(self._proven, self._debug)
            self._pass_on(number)
        while (ended := ended_child()) is not None:
            self._reap(*ended)
        self._look_for_ready()
        self._start_due()
        if self._nonce_writer is not None and not self._stopping:
            self._nonce_writer.start_if_due()

    def _stop(self, number: int) -> None:
        self._stopping = True
        self._due.clear()
        self._to_replace.clear()
        # Do it here rather than in each worker: a worker told to end by itself leaves its socket to its successor.
        refuse_new_connections(self._listener)
        self._pass_on(number)
        self._leave_first_alone()
        # While any copy of a listening socket is open, the kernel accepts connections that nobody will answer.
        self._close_sockets()

    def _pass_on(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _leave_first_alone(self) -> None:
        """Tell the first worker, which holds the admin listener and stays until now, that the others have ended."""
        if self._stopping and self._alone_write >= 0 and all(worker.index == 0 for worker in self._workers.values()):
            os.close(self._alone_write)
            self._alone_write = -1

    def _start(self, index: int, *, replaces: int | None = None) -> None:
        ready_read, ready_write = os.pipe()
        os.set_blocking(ready_read, False)
        pid = os.fork()
        if pid == 0:
            os.close(ready_read)
            self._become_worker(index, ready_write)
        os.close(ready_write)
        self._workers[pid] = ForkedWorker(pid, index, ready_read, self._settings, replaces=replaces)

    def _become_worker(self, index: int, ready: int) -> NoReturn:
        status = EXIT_CRASHED
        try:
            # It may be told to stop before it has its own handlers.
            for number in (*STOP_SIGNALS, RETIRE_SIGNAL):
                signal.signal(number, signal.SIG_DFL)
            for number in (RELOAD_SIGNAL, LEVEL_SIGNAL):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            _set_up_logging(self._settings, self._debug)
            for descriptor in (self._life_write, self._alone_write):
                os.close(descriptor)
            if index:
                for listener in self._admin_sockets:
                    listener.close()
            context = WorkerContext(
                self._listener,
                self._admin_sockets if index == 0 else (),
                share=None if self._balance is None else self._balance.share(index),
                shared_directory=self._directory,
                first=index == 0,
                ready=ready,
                life_line=self._life_read,
                alone=self._alone_read if index == 0 else None,
                debug=self._debug,
            )
            status = run_worker(self._settings, context, self._tls)
        finally:
            if status == EXIT_CRASHED:
                # No exception from here gets past the exit below.
                log.error("worker failed", exc_info=True)
            sys.stderr.flush()
            os._exit(status)

    def _reap(self, pid: int, status: int) -> None:
        if self._nonce_writer is not None and self._nonce_writer.has_ended(pid, status):
            return
        worker = self._workers.pop(pid)
        os.close(worker.ready)
        _keep_metrics(pid, self._directory)
        self._leave_first_alone()
        if self._stopping:
            self._status = max(self._status, status_as_ours(status, served=worker.is_ready))
        elif worker.retiring:
            log.info("old worker has finished", extra={"fields": {"worker": worker.index, "status": status}})
        else:
            if not worker.is_ready and worker.settings is not self._proven:
                self._give_up(worker)
            if worker.replaces is None:
                self._fill_slot_of(worker, status)

    def _give_up(self, worker: ForkedWorker) -> None:
        """Return to the proven settings, unless a later reload already replaced the settings of this worker."""
        if worker.settings is self._settings:
            log.error(
                "reload given up: the new worker failed to start, keeping the previous settings",
                extra={"fields": {"worker": worker.index}},
            )
            self._to_replace.clear()
            self._settings = self._proven
        else:
            log.error(
                "new worker failed to start, keeping the previous settings", extra={"fields": {"worker": worker.index}}
            )

    def _fill_slot_of(self, worker: ForkedWorker, status: int) -> None:
        if (successor := self._successor_of(worker)) is not None:
            # Its successor takes its place, and is restarted like any other from here on.
            successor.replaces = None
            self._restarted.add(worker.index)
            self._count_restart("died")
        else:
            self._restart(worker, status)

    def _successor_of(self, worker: ForkedWorker) -> ForkedWorker | None:
        return next((other for other in self._workers.values() if other.replaces == worker.pid), None)

    def _restart(self, worker: ForkedWorker, status: int) -> None:
        if status == EXIT_FAILED and not worker.is_ready and worker.index not in self._restarted:
            # It has logged why it cannot start. The same holds for the other workers and for the next try.
            self._status = EXIT_FAILED
            self._stop(signal.SIGTERM)
            return
        self._restarted.add(worker.index)
        self._count_restart("died")
        log.error("worker ended, restarting it", extra={"fields": {"worker": worker.index, "status": status}})
        early = worker.started_at + RESTART_PAUSE_SECONDS - time.monotonic()
        self._due.append((time.monotonic() + RESTART_PAUSE_SECONDS if early > 0 else 0.0, worker.index))

    def _start_due(self) -> None:
        now = time.monotonic()
        due, self._due = self._due, [entry for entry in self._due if entry[0] > now]
        for at, index in due:
            if at <= now:
                self._start(index)

    def _reload(self) -> None:
        """Replace every worker, starting with the first. The next one follows when the successor listens."""
        if self._stopping:
            return
        try:
            settings = self._reread()
        except SettingsError as error:
            log.error("reload refused, nothing changed", extra={"fields": {"faults": error.faults}})
            return
        if _nonce_store(settings) != _nonce_store(self._proven):
            # Old and new workers serve side by side for a while, and would accept a nonce once each.
            fault = "STORAGE_PATH, REDIS_CONNECTION: another place for nonces needs a restart"
            log.error("reload refused, nothing changed", extra={"fields": {"faults": [fault]}})
            return
        if _with_sockets_of(self._settings.server, settings.server) != settings.server:
            log.warning("changes to listeners, TLS files or the number of workers need a restart")
        self._settings = replace(settings, server=_with_sockets_of(self._settings.server, settings.server))
        log.info("reloading", extra={"fields": {"workers": self._worker_count}})
        self._to_replace = list(range(self._worker_count))
        self._replace_next()

    def _replace_next(self) -> None:
        under_way = any(worker.replaces is not None for worker in self._workers.values())
        if self._to_replace and not under_way:
            index = self._to_replace.pop(0)
            serving = next((w for w in self._workers.values() if w.index == index and not w.retiring), None)
            if serving is not None:
                self._start(index, replaces=serving.pid)

    def _look_for_ready(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if worker.is_ready:
                continue
            if has_written(worker.ready):
                worker.is_ready = True
                self._retire(worker.replaces)
                worker.replaces = None
            elif worker.settings is not self._proven and now - worker.started_at > SUCCESSOR_SECONDS:
                os.kill(worker.pid, signal.SIGKILL)
        self._conclude()
        self._replace_next()

    def _conclude(self) -> None:
        """Accept the new settings once every worker serves with them."""
        if self._stopping or self._settings is self._proven:
            return
        serving = [worker for worker in self._workers.values() if not worker.retiring]
        if all(worker.is_ready and worker.settings is self._settings for worker in serving) and not self._due:
            self._proven = self._settings
            self._to_replace.clear()
            _set_up_logging(self._proven, self._debug)

    def _retire(self, pid: int | None) -> None:
        old = self._workers.get(pid) if pid is not None else None
        if old is not None:
            old.retiring = True
            self._count_restart("reload")
            os.kill(old.pid, RETIRE_SIGNAL)

    def _count_restart(self, reason: str) -> None:
        from provider.observability.metrics.board import write_restarts  # noqa: PLC0415

        self._restarts[reason] = self._restarts.get(reason, 0) + 1
        write_restarts(self._directory, self._restarts)


def _nonce_store(settings: Settings) -> tuple[object, ...]:
    """Where nonces are: alike for two settings if their workers know each other's."""
    redis = settings.redis
    if redis is None:
        return (settings.storage_path,)
    target = redis.target
    return (target.kind, target.nodes, target.service, target.database, redis.prefix)


def _with_sockets_of(old: ServerConfig, new: ServerConfig) -> ServerConfig:
    """Return `new` with the settings of the open sockets, which cannot change without a restart."""
    return replace(new, listener=old.listener, admin=old.admin, tls=old.tls, workers=old.workers)


def _set_up_logging(settings: Settings, debug: DebugSwitch) -> None:
    set_up_logging(settings.log.level, settings.log.format, debug=debug.is_on)


def _keep_metrics(pid: int, directory: str) -> None:
    from provider.observability.metrics.board import bury  # noqa: PLC0415

    bury(directory, pid)
