"""One worker process: build the application, listen, serve until told to stop, drain."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import time
from collections.abc import Callable

from tornado.httpserver import HTTPServer

from provider.admin.dashboard.page import Dashboard
from provider.admin.health import Liveness
from provider.admin.listener import admin_application
from provider.admission.connections import Connections
from provider.app.admission import build_connections
from provider.app.build import Parts, build
from provider.app.dashboard import build_board, build_dashboard
from provider.config import ServerConfig, Settings
from provider.crypto.certificate import ServerTls
from provider.errors import ProviderError
from provider.http1.balance import Share
from provider.http1.listener import CertificateWatch, PublicServer
from provider.observability.logs import AccessLog, DebugSwitch
from provider.observability.metrics import Board, Metrics
from provider.process.loop_lag import LoopLag
from provider.process.memory import Heap, keep_collections_short
from provider.process.sockets import refuse_new_connections
from provider.process.worker_context import WorkerContext

log = logging.getLogger("provider.server")
# Longest request head (nginx: 4 × 8 KiB, Tornado: 64 KiB). A signed download needs about 1 KiB.
MAX_HEAD_BYTES = 64 << 10
# Most unread bytes of a connection in user space. Bodies are read in pieces, so this limits heads and pipelining.
MAX_READ_BUFFER_BYTES = 256 << 10
# Tornado's own limit must not act before ours, which answers in JSON.
NO_BODY_LIMIT = 1 << 40
DRAIN_POLL_SECONDS = 0.05
# A retired worker waits this long for one more request on its idle connections. Closing a connection at the moment its
# client sends would fail that request.
RETIRED_IDLE_SECONDS = 5.0
# How long to wait for connections that had no reply yet: their first request is probably on its way.
FIRST_REQUEST_SECONDS = 1.0
# The last step of a handshake comes one round trip after the first one.
HANDSHAKE_SECONDS = 0.1


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
    server = _public_server(settings, parts, metrics, tls, connections, share=context.share)
    board = build_board(metrics, parts, context.shared_directory)
    dashboard = build_dashboard(settings, board, parts)
    loop_lag = _loop_lag(metrics, board)
    liveness = Liveness(loop_lag, board)
    hosts = settings.server.accepted_admin_hosts
    admin = HTTPServer(admin_application(board, parts.readiness, liveness, dashboard, hosts=hosts))
    watch = _watch_certificate(loop, context, metrics, tls)
    keep_collections_short()
    _follow_level_signal(loop, parts.frame.access_log, context.debug)
    loop_lag.start()
    try:
        server.add_sockets([context.listener])
        admin.add_sockets(context.admin_sockets)
        if context.admin_sockets:
            dashboard.feed.start()
        _tell_listening(context, parts, connections)
        await stop.asked.wait()
        if not stop.at_once.is_set():
            admin.stop()
            _hand_over(parts, metrics, board, dashboard)
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
    settings: Settings,
    parts: Parts,
    metrics: Metrics,
    tls: ServerTls | None,
    connections: Connections,
    *,
    share: Share | None,
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
        share=share,
    )


def _loop_lag(metrics: Metrics, board: Board) -> LoopLag:
    """Measures the loop's lag. At each beat, this worker's figures are written and memory may be given back."""
    heap = Heap(lambda: metrics.streams.under_way)

    def beat() -> None:
        board.write()
        heap.look()

    return LoopLag(beat, observe_lag=metrics.processes.loop_lag.observe)


def _hand_over(parts: Parts, metrics: Metrics, board: Board, dashboard: Dashboard) -> None:
    """Leave what one worker does for all to the successor, which serves now."""
    dashboard.feed.close()
    parts.hand_over()
    metrics.hand_over()
    board.write()


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
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
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


class Stop:
    """The events that end this worker.

    `asked`: it must end.
    `at_once`: it must drain now; otherwise its successor already serves, and there is more time.
    `alone`: all other workers have ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, context: WorkerContext) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self.alone = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._now)
        loop.add_signal_handler(signal.SIGQUIT, self.asked.set)
        if context.life_line is not None:
            loop.add_reader(context.life_line, self._ended, loop, context.life_line, self._now)
        if context.alone is None:
            self.alone.set()
        else:
            loop.add_reader(context.alone, self._ended, loop, context.alone, self.alone.set)

    def _now(self) -> None:
        self.asked.set()
        self.at_once.set()

    @staticmethod
    def _ended(loop: asyncio.AbstractEventLoop, descriptor: int, then: Callable[[], None]) -> None:
        # The end of a pipe stays readable, so the reader would be called without pause.
        loop.remove_reader(descriptor)
        then()


async def drain(server: PublicServer, parts: Parts, limits: ServerConfig, stop: Stop) -> bool:
    """Stop accepting and let requests under way finish up to a deadline, then close what is left; False if any was.

    A worker with a successor has the longer deadline, until it is told to stop as well. For the first moments, its idle
    connections may bring one more request. A worker without a successor accepts what waits in the backlog, and waits a
    moment for the first request of each connection. Every reply from here on says `Connection: close`.
    """
    parts.readiness.draining = True
    log.info("draining", extra={"fields": {"requests": len(parts.frame.in_progress)}})
    # Tornado reads it at each request.
    server.conn_params.no_keep_alive = True
    began = time.monotonic()
    retired = not stop.at_once.is_set()
    deadline = began + (limits.reload_drain_seconds if retired else limits.drain_timeout_seconds)
    idle_until = began + (RETIRED_IDLE_SECONDS if retired else FIRST_REQUEST_SECONDS)
    if retired:
        # The successor shares the listening socket, with everything that waits there.
        server.stop()
    else:
        await server.stop_after_the_last(handshake_seconds=min(HANDSHAKE_SECONDS, limits.drain_timeout_seconds))
    while (now := time.monotonic()) < deadline:
        if retired and stop.at_once.is_set():
            retired, idle_until = False, now + FIRST_REQUEST_SECONDS
            deadline = min(deadline, now + limits.drain_timeout_seconds)
        awaited = server.is_connected if retired else server.awaits_first_request
        if not parts.frame.in_progress and not (awaited and now < idle_until):
            break
        await asyncio.sleep(DRAIN_POLL_SECONDS)
    cut = _cut_requests(parts)
    await server.close_all_connections()
    if not retired:
        await _stay_until_alone(stop, deadline)
    log.info("stopped")
    return not cut


def _cut_requests(parts: Parts) -> int:
    """Cut the requests that are left at the deadline. Returns how many."""
    cut = list(parts.frame.in_progress)
    if cut:
        log.warning("drain deadline passed", extra={"fields": {"cut_requests": len(cut)}})
    for endpoint in cut:
        endpoint.cut()
    return len(cut)


async def _stay_until_alone(stop: Stop, deadline: float) -> None:
    """Wait for the other workers to end: this one reports metrics and readiness for all of them."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, deadline - time.monotonic()) + 1.0):
            await stop.alone.wait()
