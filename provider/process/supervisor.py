"""Several workers on one port: forked, restarted when they die, replaced one after the other on SIGHUP.

A worker and its successor share one listening socket, so that no connection waits where nobody accepts.
"""

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from provider.config import ServerConfig, Settings, SettingsError
from provider.crypto.certificate import ServerTls
from provider.observability.logs import DebugSwitch, set_up_logging
from provider.process.forked_worker import STOP_SIGNALS, ForkedWorker, ended_child, has_written, status_as_ours
from provider.process.sockets import refuse_new_connections
from provider.process.worker_context import EXIT_CRASHED, EXIT_DRAINED, EXIT_FAILED, Place, run_worker

log = logging.getLogger("provider.server")

RELOAD_SIGNAL = signal.SIGHUP
RETIRE_SIGNAL = signal.SIGQUIT
"""To a worker whose successor serves: finish what is under way, however long the reload limit lets it."""
LEVEL_SIGNAL = signal.SIGUSR1
WATCHED = frozenset({*STOP_SIGNALS, RELOAD_SIGNAL, LEVEL_SIGNAL, signal.SIGCHLD})
# A worker that dies within this time of its start is restarted only after a pause, so that a fault at start does not
# become a busy loop.
RESTART_PAUSE_SECONDS = 1.0
# A successor that does not listen by then (its node is silent, say) is given up.
SUCCESSOR_SECONDS = 60.0
LOOK_SECONDS = 0.1


class Supervisor:
    """Forks the workers, restarts the dead, passes signals on. The first worker also holds the admin listener.

    Workers hold the read end of a pipe whose write end is ours alone: when we die, however, they see its end and stop.
    """

    def __init__(
        self,
        settings: Settings,
        places: Sequence[Place],
        tls: ServerTls | None,
        reread: Callable[[], Settings],
    ) -> None:
        """`places` name the sockets of each worker; `reread` gives the settings of workers started by a reload."""
        self._settings = self._proven = settings
        """What workers are started with, and what every place was seen to serve with; a reload sets them apart."""
        self._places = places
        self._tls = tls
        self._reread = reread
        self._directory = tempfile.mkdtemp(prefix="provider-metrics-")
        self._life_read, self._life_write = os.pipe()
        self._alone_read, self._alone_write = os.pipe()
        self._debug = DebugSwitch()
        self._workers: dict[int, ForkedWorker] = {}
        self._due: list[tuple[float, int]] = []
        self._to_replace: list[int] = []
        self._restarted: set[int] = set()
        self._restarts: dict[str, int] = {}
        self._stopping = False
        self._status = EXIT_DRAINED

    def run(self) -> int:
        """Supervise until every worker has ended; the worst of their exit statuses."""
        # Blocked and fetched one by one: no handler can come between two steps of ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            for index in range(len(self._places)):
                self._start(index)
            while self._workers or self._due:
                self._step()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)
        return self._status

    def _step(self) -> None:
        waiting = self._due or any(not worker.is_ready for worker in self._workers.values())
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
            self._bury(*ended)
        self._look_for_ready()
        self._start_due()

    def _stop(self, number: int) -> None:
        self._stopping = True
        self._due.clear()
        self._to_replace.clear()
        for place in self._places:
            # Now, not by each worker: one that is told to end by itself leaves the socket to the next.
            refuse_new_connections(place.listener)
        self._pass_on(number)
        self._leave_first_alone()
        # While one copy of a listening socket is open, the kernel takes connections that nobody will answer.
        for place in self._places:
            for listener in (place.listener, *place.admin_sockets):
                listener.close()

    def _pass_on(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _leave_first_alone(self) -> None:
        """The first worker holds the admin listener, so it stays until the others have finished."""
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
            # It may be stopped before it can say what to do then.
            for number in (*STOP_SIGNALS, RETIRE_SIGNAL):
                signal.signal(number, signal.SIG_DFL)
            for number in (RELOAD_SIGNAL, LEVEL_SIGNAL):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            _set_up_logging(self._settings, self._debug)
            for descriptor in (self._life_write, self._alone_write):
                os.close(descriptor)
            mine = self._places[index]
            for place in self._places:
                for listener in (place.listener, *place.admin_sockets):
                    if place is not mine:
                        listener.close()
            place = replace(
                mine,
                shared_directory=self._directory,
                first=index == 0,
                ready=ready,
                life_line=self._life_read,
                alone=self._alone_read if index == 0 else None,
                debug=self._debug,
            )
            status = run_worker(self._settings, place, self._tls)
        finally:
            if status == EXIT_CRASHED:
                # Nothing that is raised here gets beyond the exit below.
                log.error("worker failed", exc_info=True)
            sys.stderr.flush()
            os._exit(status)

    def _bury(self, pid: int, status: int) -> None:
        worker = self._workers.pop(pid)
        os.close(worker.ready)
        _keep_metrics(pid, self._directory)
        self._leave_first_alone()
        if self._stopping:
            self._status = max(self._status, status_as_ours(status, served=worker.is_ready))
        elif worker.retiring:
            log.info("old worker has finished", extra={"facts": {"worker": worker.index, "status": status}})
        else:
            if not worker.is_ready and worker.settings is not self._proven:
                self._give_up(worker)
            if worker.replaces is None:
                self._fill_place_of(worker, status)

    def _give_up(self, worker: ForkedWorker) -> None:
        """Back to the proven settings, unless a later reload is under way and has others than this worker had."""
        if worker.settings is self._settings:
            log.error("reload given up: the new worker did not start", extra={"facts": {"worker": worker.index}})
            self._to_replace.clear()
            self._settings = self._proven
        else:
            log.error("new worker did not start, its settings are given up", extra={"facts": {"worker": worker.index}})

    def _fill_place_of(self, worker: ForkedWorker, status: int) -> None:
        if (successor := self._successor_of(worker)) is not None:
            # Its place is taken by the one that starts already, which from here on is restarted like any other.
            successor.replaces = None
            self._restarted.add(worker.index)
            self._count_restart("died")
        else:
            self._restart(worker, status)

    def _successor_of(self, worker: ForkedWorker) -> ForkedWorker | None:
        return next((other for other in self._workers.values() if other.replaces == worker.pid), None)

    def _restart(self, worker: ForkedWorker, status: int) -> None:
        if status == EXIT_FAILED and not worker.is_ready and worker.index not in self._restarted:
            # It has said why it cannot start, and that is as true of the others and of the next try.
            self._status = EXIT_FAILED
            self._stop(signal.SIGTERM)
            return
        self._restarted.add(worker.index)
        self._count_restart("died")
        log.error("worker ended, starting it again", extra={"facts": {"worker": worker.index, "status": status}})
        early = worker.started_at + RESTART_PAUSE_SECONDS - time.monotonic()
        self._due.append((time.monotonic() + RESTART_PAUSE_SECONDS if early > 0 else 0.0, worker.index))

    def _start_due(self) -> None:
        now = time.monotonic()
        due, self._due = self._due, [entry for entry in self._due if entry[0] > now]
        for at, index in due:
            if at <= now:
                self._start(index)

    def _reload(self) -> None:
        """Replace every worker, the first first; the next follows when its successor listens."""
        if self._stopping:
            return
        try:
            settings = self._reread()
        except SettingsError as error:
            log.error("reload refused, nothing changed", extra={"facts": {"faults": error.faults}})
            return
        if _with_sockets_of(self._settings.server, settings.server) != settings.server:
            log.warning("listeners and the number of workers stay as they were until a restart")
        self._settings = replace(settings, server=_with_sockets_of(self._settings.server, settings.server))
        log.info("reloading", extra={"facts": {"workers": len(self._places)}})
        self._to_replace = list(range(len(self._places)))
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
        """A reload has succeeded when every place serves with its settings."""
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


def _with_sockets_of(old: ServerConfig, new: ServerConfig) -> ServerConfig:
    """`new`, but for what belongs to the sockets that are open, and so cannot change without a restart."""
    return replace(new, listener=old.listener, admin=old.admin, tls=old.tls, workers=old.workers)


def _set_up_logging(settings: Settings, debug: DebugSwitch) -> None:
    set_up_logging(settings.log.level, settings.log.format, debug=debug.is_on)


def _keep_metrics(pid: int, directory: str) -> None:
    from provider.observability.metrics.board import bury  # noqa: PLC0415

    bury(directory, pid)
