"""The end of a worker: how it is asked for, and how requests under way come to theirs first."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable

from provider.app.build import Parts
from provider.config import ServerConfig
from provider.http1.listener import PublicServer
from provider.process.worker_context import Place

log = logging.getLogger("provider.server")
DRAIN_POLL_SECONDS = 0.05
# How long a retired worker waits for one more request on its idle connections: closing one in the moment in which its
# client sends would fail that request.
RETIRED_IDLE_SECONDS = 5.0
# How long connections without any answer so far are waited for: the request of the last ones is on its way.
FIRST_REQUEST_SECONDS = 1.0
# The last step of a handshake comes one round trip after the first.
HANDSHAKE_SECONDS = 0.1


class Stop:
    """How this worker is told to end: at once after a drain, or as one whose successor serves already."""

    def __init__(self, loop: asyncio.AbstractEventLoop, place: Place) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self.alone = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._now)
        loop.add_signal_handler(signal.SIGQUIT, self.asked.set)
        if place.life_line is not None:
            loop.add_reader(place.life_line, self._ended, loop, place.life_line, self._now)
        if place.alone is None:
            self.alone.set()
        else:
            loop.add_reader(place.alone, self._ended, loop, place.alone, self.alone.set)

    def _now(self) -> None:
        self.asked.set()
        self.at_once.set()

    @staticmethod
    def _ended(loop: asyncio.AbstractEventLoop, descriptor: int, then: Callable[[], None]) -> None:
        # The end of a pipe stays readable, so that a reader would be called without pause.
        loop.remove_reader(descriptor)
        then()


async def drain(server: PublicServer, parts: Parts, limits: ServerConfig, stop: Stop) -> bool:
    """Stop accepting and let requests under way finish up to a deadline, then close what is left; False if any was.

    A worker with a successor has the longer limit, until it is told to stop as well, and its idle connections may bring
    one more request in the first moments. One without takes what waits to be accepted; connections that had no answer
    yet may bring their request for a moment. What is answered from here on says `Connection: close`.
    """
    parts.readiness.draining = True
    log.info("draining", extra={"facts": {"requests": len(parts.frame.in_progress)}})
    # Read at each request.
    server.conn_params.no_keep_alive = True
    began = time.monotonic()
    retired = not stop.at_once.is_set()
    deadline = began + (limits.reload_drain_seconds if retired else limits.drain_timeout_seconds)
    idle_until = began + (RETIRED_IDLE_SECONDS if retired else FIRST_REQUEST_SECONDS)
    if retired:
        # The successor has the same listening socket, and what waits there.
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
        log.warning("drain deadline passed", extra={"facts": {"cut_requests": cut}})
        for endpoint in list(parts.frame.in_progress):
            endpoint.cut()
    await server.close_all_connections()
    if not retired:
        # Metrics and readiness are told for all workers here.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline - time.monotonic()) + 1.0):
                await stop.alone.wait()
    log.info("stopped")
    return not cut
