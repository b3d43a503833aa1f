"""One worker process: build the application, listen, serve until told to stop, drain."""

import asyncio
import gc
import logging
import os
import signal

from tornado.httpserver import HTTPServer

from provider.admin.listener import admin_application
from provider.admin.liveness import Liveness
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
from provider.process.loop_lag import Pulse
from provider.process.sockets import refuse_new_connections
from provider.process.worker_context import Place

log = logging.getLogger("provider.server")
# Heads up to this long are read (nginx: 4 × 8 KiB, Tornado: 64 KiB); a signed download needs about 1 KiB.
MAX_HEAD_BYTES = 64 << 10
# What a connection may hold unread in user space. Bodies are taken in pieces, so this bounds heads and pipelining.
MAX_READ_BUFFER_BYTES = 256 << 10
# Tornado's own body limit must not act before ours, which answers in JSON.
NO_BODY_LIMIT = 1 << 40
# Objects, young collections, middle ones; Python's own are 700, 10 and 10. No request leaves a cycle, so the collector
# finds nothing but looks at all streams that are new: of 400 at once, three times, for 135 ms, 16 at most, against 404
# and 79 with 5 000, 5 and 2 (on a busy machine; memory was the same).
COLLECT_AFTER = (10_000, 20, 20)


async def run(settings: Settings, place: Place, tls: ServerTls | None) -> bool:
    """Serve until told to stop; False when requests had to be cut. Raises StartError when a part cannot be built."""
    loop = asyncio.get_running_loop()
    stop = Stop(loop, place)
    metrics = Metrics(is_on=settings.observing.metrics)
    parts = await _build_unless_stopped(settings, metrics, stop.asked, place)
    if parts is None:
        return True
    server = _public_server(settings, parts, metrics, tls)
    board = build_board(metrics, parts, place.shared_directory)
    dashboard = build_dashboard(settings, board, parts)
    pulse = Pulse(board.write, observe_lag=metrics.processes.loop_lag.observe)
    admin = HTTPServer(
        admin_application(
            board,
            parts.readiness,
            Liveness(pulse, board),
            dashboard,
            hosts=settings.server.accepted_admin_hosts,
        )
    )
    watch = CertificateWatch(tls) if tls else None
    if tls is not None:
        metrics.processes.certificate_expiry.follow(lambda: tls.expires_at)
    if watch is not None and place.life_line is None:
        loop.add_signal_handler(signal.SIGHUP, watch.renew)
    # What was built stays, and requests leave no cycles (`tests/e2e/test_garbage.py`).
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    _follow_level_signal(loop, parts.frame.access_log, place.debug)
    pulse.start()
    try:
        server.add_sockets([place.listener])
        admin.add_sockets(place.admin_sockets)
        host, port = place.listener.getsockname()[:2]
        log.info("listening", extra={"facts": {"host": host, "port": port, "chains": list(parts.networks.chain_ids)}})
        if place.ready is not None:
            os.write(place.ready, b"1")
        await stop.asked.wait()
        if not stop.at_once.is_set():
            # The successor answers for this place now, and does what one worker does for all.
            admin.stop()
            dashboard.feed.close()
            parts.step_back()
            metrics.step_back()
            board.write()
        elif place.life_line is None:
            # Where there is a supervisor, it has done this.
            refuse_new_connections(place.listener)
        finished = await drain(server, parts, settings.server, stop)
        admin.stop()
        return finished
    finally:
        pulse.stop()
        if watch is not None:
            watch.stop()
        await dashboard.close()
        await parts.close()
        # The sums outlive this process.
        board.write()


def _public_server(settings: Settings, parts: Parts, metrics: Metrics, tls: ServerTls | None) -> PublicServer:
    return PublicServer(
        parts.router,
        ssl_options=tls.context if tls else None,
        idle_connection_timeout=settings.server.idle_connection_timeout_seconds,
        body_timeout=settings.admission.body_timeout_seconds,
        max_header_size=MAX_HEAD_BYTES,
        max_buffer_size=MAX_READ_BUFFER_BYTES,
        max_body_size=NO_BODY_LIMIT,
        connections=build_connections(settings.admission),
        clients=parts.admission.clients,
        head_seconds=settings.admission.head_timeout_seconds,
        turns_away=parts.admission.turns_away,
        observe_refusal=lambda error: _refused_at_once(metrics, parts, error),
    )


def _follow_level_signal(loop: asyncio.AbstractEventLoop, access_log: AccessLog, debug: DebugSwitch | None) -> None:
    if debug is None:
        loop.add_signal_handler(signal.SIGUSR1, access_log.toggle_debug)
    else:
        loop.add_signal_handler(signal.SIGUSR1, access_log.follow, debug)
        # A signal that came while this worker was starting was ignored.
        access_log.follow(debug)


def _refused_at_once(metrics: Metrics, parts: Parts, error: ProviderError) -> None:
    """No handler saw the request, so that nobody else counts it."""
    metrics.requests.errors.add(error.code)
    metrics.requests.answer("at_once", error.http_status, 0.0)
    parts.admission.shed += 1


async def _build_unless_stopped(
    settings: Settings, metrics: Metrics, stop: asyncio.Event, place: Place
) -> Parts | None:
    building = asyncio.ensure_future(
        build(settings, metrics, index_here=place.first, shared_directory=place.shared_directory)
    )
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((building, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if building.done():
        return building.result()
    building.cancel()
    return None
