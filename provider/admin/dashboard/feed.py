"""Feeds the dashboard: one timer for all open pages, and none without a page."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from provider.admin.dashboard.page import DashboardEventsHandler

log = logging.getLogger("provider.server")
EVERY_SECONDS = 1.0
MAX_LISTENERS = 16
# A new page shows the past five minutes.
MAX_POINTS = 300

Picture = tuple[Mapping[str, float | None], Mapping[str, Any]]
"""What charts keep, and what tables show."""


def event(name: str, value: object) -> bytes:
    """One event of a stream (HTML Standard, section 9.2 "Server-sent events")."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"


class Feed:
    """Takes a picture each second while a page is open, and sends the same bytes to all pages."""

    def __init__(
        self,
        take: Callable[[], Picture],
        *,
        stopped: Callable[[], None],
        every_seconds: float = EVERY_SECONDS,
        max_listeners: int = MAX_LISTENERS,
    ) -> None:
        """`stopped` is called when the last listener has left."""
        self._take = take
        self._on_stop = stopped
        self._every_seconds = every_seconds
        self._max_listeners = max_listeners
        self._listeners: set[DashboardEventsHandler] = set()
        self._points: deque[Mapping[str, float | None]] = deque(maxlen=MAX_POINTS)
        self._task: asyncio.Task[None] | None = None
        self.pictures = 0
        """Taken since the start."""

    @property
    def is_running(self) -> bool:
        """True while pictures are taken."""
        return self._task is not None

    def join(self, listener: "DashboardEventsHandler", hello: Mapping[str, Any]) -> bool:
        """Send `hello` with the recent past, then every picture. Returns False if there are too many listeners."""
        if len(self._listeners) >= self._max_listeners:
            return False
        self._listeners.add(listener)
        listener.send(event("hello", {**hello, "points": list(self._points), "every_seconds": self._every_seconds}))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)
        return True

    def leave(self, listener: "DashboardEventsHandler") -> None:
        """Remove a listener; it may have left before. The timer ends with the last one."""
        self._listeners.discard(listener)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None
            self._on_stop()

    def close(self) -> None:
        """Drop all listeners. Browsers reconnect by themselves, to the process that serves then."""
        for listener in list(self._listeners):
            listener.drop()
            self.leave(listener)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            point, tables = self._take()
            self.pictures += 1
            self._points.append(point)
            told = event("picture", {"number": self.pictures, "point": point, **tables})
            for listener in list(self._listeners):
                if not listener.send(told):
                    listener.drop()
                    self.leave(listener)
            # A late picture does not make the next one come sooner.
            due = max(due + self._every_seconds, loop.time())
            await asyncio.sleep(due - loop.time())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("the dashboard's pictures have failed", exc_info=failure)
            self.close()
