"""Starts the server: bind the sockets, then become the only worker, or a supervisor of workers."""

import logging
import resource
import signal
import socket
from collections.abc import Callable

from provider.config import Listener, Settings
from provider.crypto.certificate import ServerTls, TlsFault
from provider.errors.start import StartError
from provider.observability.logs import set_up_logging
from provider.process.supervisor import Supervisor
from provider.process.worker_context import EXIT_FAILED, WorkerContext, run_worker

log = logging.getLogger("provider.server")
BACKLOG = 4096


def serve(settings: Settings, reread: Callable[[], Settings], *, can_change: bool) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status.

    0: drained. 3: the drain deadline passed and requests were cut. 1: the start failed, or a worker died while it
    stopped.

    `reread`: reads the settings again at a reload (SIGHUP).
    `can_change`: the settings may differ by then, so even a single worker gets a supervisor, which can replace it.
    """
    set_up_logging(settings.log.level, settings.log.format)
    for warning in settings.warnings:
        log.warning(str(warning))
    _raise_descriptor_limit()
    # SIGHUP asks for new settings or certificates. Until something can handle it, it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # The same for the signal that changes the log level.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        tls = _tls(settings)
        listener = _bind(settings)
        admin_sockets = _bind_admin(settings)
    except StartError as error:
        log.error(str(error))
        return EXIT_FAILED
    workers = settings.server.workers
    if workers == 1 and not can_change:
        return run_worker(settings, WorkerContext(listener, admin_sockets), tls)
    return Supervisor(settings, listener, admin_sockets, tls, reread).run()


def _tls(settings: Settings) -> ServerTls | None:
    if settings.server.tls is None:
        return None
    try:
        return ServerTls(settings.server.tls)
    except TlsFault as fault:
        raise StartError(f"PROVIDER_TLS_CERT_FILE, PROVIDER_TLS_KEY_FILE: {fault}") from fault


def _bind(settings: Settings) -> socket.socket:
    """Bind the listening socket, from which all workers accept. Raises StartError if the port is taken."""
    listener = settings.server.listener
    try:
        return _listen(listener.host, listener.port)
    except OSError as exc:
        raise _cannot_listen("OCEAN_PROVIDER_URL", listener, exc) from exc


def _bind_admin(settings: Settings) -> list[socket.socket]:
    admin = settings.server.admin
    if admin is None:
        return []
    try:
        return [_listen(admin.host, admin.port)]
    except OSError as exc:
        raise _cannot_listen("PROVIDER_ADMIN_URL", admin, exc) from exc


def _cannot_listen(variable: str, listener: Listener, error: OSError) -> StartError:
    return StartError(f"{variable}: cannot listen on {listener.host} port {listener.port}: {error.strerror}")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
    """Raise the soft limit of open files. Each download holds two; the usual 1024 would run out first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
