"""Starts the server: bind the sockets, then become the only worker, or the supervisor of several (SO_REUSEPORT)."""

import logging
import resource
import signal
import socket
from collections.abc import Callable

from provider.config import Settings
from provider.crypto.certificate import ServerTls, TlsFault
from provider.errors.start import StartError
from provider.observability.logs import set_up_logging
from provider.process.supervisor import Supervisor
from provider.process.worker_context import EXIT_FAILED, WorkerContext, run_worker

log = logging.getLogger("provider.server")
BACKLOG = 4096


def serve(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status.

    0: drained. 3: the drain deadline passed and requests were cut. 1: the start failed, or a worker died while it
    stopped.

    `reread`: reads the settings again when several workers are reloaded (SIGHUP).
    """
    set_up_logging(settings.log.level, settings.log.format)
    for warning in settings.warnings:
        log.warning(warning)
    _raise_descriptor_limit()
    # SIGHUP asks for new settings or certificates. Until something can handle it, it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # The same for the signal that changes the log level.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        tls = _tls(settings)
        sockets = _bind(settings)
        admin_sockets = _bind_admin(settings)
    except StartError as error:
        log.error(str(error))
        return EXIT_FAILED
    contexts = [WorkerContext(listener, admin_sockets if index == 0 else []) for index, listener in enumerate(sockets)]
    if len(contexts) == 1:
        return run_worker(settings, contexts[0], tls)
    return Supervisor(settings, contexts, tls, reread).run()


def _tls(settings: Settings) -> ServerTls | None:
    if settings.server.tls is None:
        return None
    try:
        return ServerTls(settings.server.tls)
    except TlsFault as fault:
        raise StartError(f"PROVIDER_TLS_CERT_FILE, PROVIDER_TLS_KEY_FILE: {fault}") from fault


def _bind(settings: Settings) -> list[socket.socket]:
    """Bind one listening socket per worker. Raises StartError if the port is taken.

    The first bind is exclusive, because SO_REUSEPORT alone would share the port with a stranger.
    """
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
    """Raise the soft limit of open files. Each download holds two; the usual 1024 would run out first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
