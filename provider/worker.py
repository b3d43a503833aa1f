"""One worker process: build the application, listen, serve until told to stop, drain."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Sequence

from prometheus_client import REGISTRY, disable_created_metrics
from tornado.httpserver import HTTPServer

from provider.admin.listener import admin_application
from provider.app import Parts, build
from provider.metrics import Metrics
from provider.settings import Settings
from provider.tls import ServerTls
from provider.tls_listener import CertificateWatch, PublicServer

log = logging.getLogger("provider.server")
# Heads up to this long are read (nginx: 4 × 8 KiB, Tornado: 64 KiB); a signed download needs about 1 KiB.
MAX_HEAD_BYTES = 64 << 10
# What a connection may hold unread in user space. Bodies are taken in pieces, so this bounds heads and pipelining.
MAX_READ_BUFFER_BYTES = 256 << 10
# A whole request body must arrive within this time (seconds): 10 MiB at 1 Mbit/s take 84.
BODY_TIMEOUT_SECONDS = 120.0
# Tornado's own body limit must not act before ours, which answers in JSON.
NO_BODY_LIMIT = 1 << 40
DRAIN_POLL_SECONDS = 0.05
# Far below the 15 s at which Prometheus usually scrapes.
PUBLISH_SECONDS = 0.5


async def run(
    settings: Settings,
    listener: socket.socket,
    admin_sockets: Sequence[socket.socket],
    tls: ServerTls | None,
    *,
    shared_directory: str | None,
    first: bool,
    life_line: int | None,
) -> None:
    """Serve on `listener` until SIGTERM or SIGINT. Raises StartError when a part cannot be built."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if life_line is not None:
        loop.add_reader(life_line, _supervisor_gone, loop, life_line, stop)
    metrics = Metrics(REGISTRY)
    parts = await _build_unless_stopped(settings, metrics, stop, first)
    if parts is None:
        return
    server = PublicServer(
        parts.router,
        ssl_options=tls.context if tls else None,
        idle_connection_timeout=settings.server.idle_connection_timeout_seconds,
        body_timeout=BODY_TIMEOUT_SECONDS,
        max_header_size=MAX_HEAD_BYTES,
        max_buffer_size=MAX_READ_BUFFER_BYTES,
        max_body_size=NO_BODY_LIMIT,
    )
    admin = HTTPServer(admin_application(REGISTRY, metrics.publish, parts.readiness, shared_directory))
    watch = CertificateWatch(tls) if tls else None
    if watch is not None:
        loop.add_signal_handler(signal.SIGHUP, watch.renew)
    publishing = _publish_now_and_then(loop, metrics) if shared_directory is not None else None
    try:
        server.add_sockets([listener])
        admin.add_sockets(admin_sockets)
        host, port = listener.getsockname()[:2]
        log.info("listening", extra={"facts": {"host": host, "port": port, "chains": list(parts.networks.chain_ids)}})
        await stop.wait()
        await _drain(server, parts, settings.server.drain_timeout_seconds)
        admin.stop()
    finally:
        if publishing is not None:
            publishing.cancel()
        if watch is not None:
            watch.stop()
        await parts.close()


def _supervisor_gone(loop: asyncio.AbstractEventLoop, life_line: int, stop: asyncio.Event) -> None:
    # The end of the pipe stays readable, so that a reader would be called without pause.
    loop.remove_reader(life_line)
    stop.set()


def _publish_now_and_then(loop: asyncio.AbstractEventLoop, metrics: Metrics) -> asyncio.Task[None]:
    """The worker that renders the metrics of all reads our sums from a shared file."""

    async def publish() -> None:
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            metrics.publish()

    return loop.create_task(publish())


async def _build_unless_stopped(settings: Settings, metrics: Metrics, stop: asyncio.Event, first: bool) -> Parts | None:
    building = asyncio.ensure_future(build(settings, metrics, index_here=first))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((building, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if building.done():
        return building.result()
    building.cancel()
    return None


async def _drain(server: HTTPServer, parts: Parts, timeout_seconds: float) -> None:
    """Stop accepting, let requests under way finish up to the deadline, then close what is left."""
    parts.readiness.draining = True
    server.stop()
    deadline = time.monotonic() + timeout_seconds
    while parts.frame.in_progress and time.monotonic() < deadline:  # noqa: ASYNC110 - polled once per process life
        await asyncio.sleep(DRAIN_POLL_SECONDS)
    if parts.frame.in_progress:
        log.warning("drain deadline passed", extra={"facts": {"cut_requests": len(parts.frame.in_progress)}})
        for endpoint in list(parts.frame.in_progress):
            endpoint.cut()
    await server.close_all_connections()
    log.info("stopped")
