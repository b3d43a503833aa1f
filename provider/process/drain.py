"""Ends a worker: how it is asked to stop, and how requests in progress finish first."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable

from provider.app.build import Parts
from provider.config import ServerConfig
from provider.http1.listener import PublicServer
from provider.process.worker_context import WorkerContext

log = logging.getLogger("provider.server")
DRAIN_POLL_SECONDS = 0.05
# A retired worker waits this long for one more request on its idle connections. Closing a connection at the moment its
# client sends would fail that request.
RETIRED_IDLE_SECONDS = 5.0
# How long to wait for connections that had no reply yet: their first request is probably on its way.
FIRST_REQUEST_SECONDS = 1.0
# The last step of a handshake comes one round trip after the first one.
HANDSHAKE_SECONDS = 0.1


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
    cut = len(parts.frame.in_progress)
    if cut:
        log.warning("drain deadline passed", extra={"fields": {"cut_requests": cut}})
        for endpoint in list(parts.frame.in_progress):
            endpoint.cut()
    await server.close_all_connections()
    if not retired:
        # This worker reports metrics and readiness for all workers.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline - time.monotonic()) + 1.0):
                await stop.alone.wait()
    log.info("stopped")
    return not cut
