"""One worker process: build the application, listen, serve until told to stop, drain."""

import asyncio
import gc
import logging
import os
import signal

from tornado.httpserver import HTTPServer

from provider.admin.health import Liveness
from provider.admin.listener import admin_application
from provider.admission.connections import Connections
from provider.app.admission import build_connections
from provider.app.build import Parts, build
from provider.app.dashboard import build_board, build_dashboard
from provider.config import Settings
from provider.crypto.certificate import ServerTls
from provider.errors import ProviderError
from provider.http1.listener import CertificateWatch, PublicServer
from provider.observability.logs import AccessLog, DebugSwitch
from provider.observability.metrics import Metrics
from provider.process.drain import Stop, drain
from provider.process.loop_lag import LoopLag
from provider.process.sockets import refuse_new_connections
from provider.process.worker_context import WorkerContext

log = logging.getLogger("provider.server")
# Longest request head (nginx: 4 × 8 KiB, Tornado: 64 KiB). A signed download needs about 1 KiB.
MAX_HEAD_BYTES = 64 << 10
# Most unread bytes of a connection in user space. Bodies are read in pieces, so this limits heads and pipelining.
MAX_READ_BUFFER_BYTES = 256 << 10
# Tornado's own limit must not act before ours, which answers in JSON.
NO_BODY_LIMIT = 1 << 40
# Thresholds of the garbage collector: objects, young collections, middle collections. Python's own are 700, 10 and 10.
# No request leaves a reference cycle, so the collector finds nothing, but it walks all streams that are new. With 400
# at once (busy machine): three runs in 135 ms, 16 ms at most; with 5 000, 5 and 2 it was 404 and 79 ms. Memory was the
# same.
COLLECT_AFTER = (10_000, 20, 20)


async def run(settings: Settings, context: WorkerContext, tls: ServerTls | None) -> bool:
    """Serve until told to stop. Returns False if requests had to be cut.

    Raises StartError when a part cannot be built.
    """
    loop = asyncio.get_running_loop()
    stop = Stop(loop, context)
    metrics = Metrics(is_on=settings.observing.metrics)
    parts = await _build_unless_stopped(settings, metrics, stop.asked, context)
    if parts is None:
        return True
    connections = build_connections(settings.admission)
    server = _public_server(settings, parts, metrics, tls, connections)
    board = build_board(metrics, parts, context.shared_directory)
    dashboard = build_dashboard(settings, board, parts)
    loop_lag = LoopLag(board.write, observe_lag=metrics.processes.loop_lag.observe)
    liveness = Liveness(loop_lag, board)
    hosts = settings.server.accepted_admin_hosts
    admin = HTTPServer(admin_application(board, parts.readiness, liveness, dashboard, hosts=hosts))
    watch = _watch_certificate(loop, context, metrics, tls)
    # What was built stays alive, and requests leave no cycles (`tests/e2e/test_garbage.py`).
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    _follow_level_signal(loop, parts.frame.access_log, context.debug)
    loop_lag.start()
    try:
        server.add_sockets([context.listener])
        admin.add_sockets(context.admin_sockets)
        _tell_listening(context, parts, connections)
        await stop.asked.wait()
        if not stop.at_once.is_set():
            # The successor serves now, and does what one worker does for all.
            admin.stop()
            dashboard.feed.close()
            parts.hand_over()
            metrics.hand_over()
            board.write()
        elif context.life_line is None:
            # A supervisor would have done this.
            refuse_new_connections(context.listener)
        finished = await drain(server, parts, settings.server, stop)
        admin.stop()
        return finished
    finally:
        loop_lag.stop()
        if watch is not None:
            watch.stop()
        await dashboard.close()
        await parts.close()
        # The sums must outlive this process.
        board.write()


def _public_server(
    settings: Settings, parts: Parts, metrics: Metrics, tls: ServerTls | None, connections: Connections
) -> PublicServer:
    return PublicServer(
        parts.router,
        ssl_options=tls.context if tls else None,
        idle_connection_timeout=settings.server.idle_connection_timeout_seconds,
        body_timeout=settings.admission.body_timeout_seconds,
        max_header_size=MAX_HEAD_BYTES,
        max_buffer_size=MAX_READ_BUFFER_BYTES,
        max_body_size=NO_BODY_LIMIT,
        connections=connections,
        clients=parts.admission.clients,
        head_seconds=settings.admission.head_timeout_seconds,
        turns_away=parts.admission.turns_away,
        observe_refusal=lambda error: _refused_at_once(metrics, parts, error),
    )


def _watch_certificate(
    loop: asyncio.AbstractEventLoop, context: WorkerContext, metrics: Metrics, tls: ServerTls | None
) -> CertificateWatch | None:
    """Renew the certificate when its files change, and on SIGHUP, which a supervisor would handle."""
    if tls is None:
        return None
    watch = CertificateWatch(tls)
    metrics.processes.certificate_expiry.follow(lambda: tls.expires_at)
    if context.life_line is None:
        loop.add_signal_handler(signal.SIGHUP, watch.renew)
    return watch


def _tell_listening(context: WorkerContext, parts: Parts, connections: Connections) -> None:
    """Tell the log and the supervisor that this worker accepts connections."""
    host, port = context.listener.getsockname()[:2]
    fields = {
        "host": host,
        "port": port,
        "chains": list(parts.networks.chain_ids),
        # What stops more downloads first is often the number of files that the system lets a process open.
        "most_connections": connections.max_all or None,
    }
    log.info("listening", extra={"fields": fields})
    if context.ready is not None:
        os.write(context.ready, b"1")


def _follow_level_signal(loop: asyncio.AbstractEventLoop, access_log: AccessLog, debug: DebugSwitch | None) -> None:
    if debug is None:
        loop.add_signal_handler(signal.SIGUSR1, access_log.toggle_debug)
    else:
        loop.add_signal_handler(signal.SIGUSR1, access_log.follow, debug)
        # A signal that arrived while this worker was starting was ignored.
        access_log.follow(debug)


def _refused_at_once(metrics: Metrics, parts: Parts, error: ProviderError) -> None:
    """Count a request that was refused before any handler saw it."""
    metrics.requests.fail(error.code)
    metrics.requests.answer("at_once", error.http_status, 0.0)
    parts.admission.shed += 1


async def _build_unless_stopped(
    settings: Settings, metrics: Metrics, stop: asyncio.Event, context: WorkerContext
) -> Parts | None:
    building = asyncio.ensure_future(
        build(settings, metrics, index_here=context.first, shared_directory=context.shared_directory)
    )
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((building, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if building.done():
        return building.result()
    building.cancel()
    return None
