"""Feeds the dashboard: one timer for all open pages. Without a page it records a point now and then."""

import asyncio
import contextlib
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
RECORD_SECONDS = 10.0
"""Between two points while nobody looks."""
MAX_POINTS = 300
"""Of each second, for the last five minutes."""
MAX_RECORDED = 360
"""Of each ten seconds, for the last hour."""

Picture = tuple[Mapping[str, float | None], Mapping[str, Any]]
"""What charts keep, and what tables show."""


def event(name: str, value: object) -> bytes:
    """One event of a stream (HTML Standard, section 9.2 "Server-sent events")."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"


class Feed:
    """Takes a picture each second while a page is open, and sends the same bytes to all pages.

    Before and afterwards it takes one each `record_seconds`, so that a new page shows the last hour.
    """

    def __init__(
        self,
        take: Callable[[bool], Picture],
        *,
        stopped: Callable[[], None],
        every_seconds: float = EVERY_SECONDS,
        record_seconds: float = RECORD_SECONDS,
        max_listeners: int = MAX_LISTENERS,
    ) -> None:
        """`take` gets a flag: whether somebody looks. `stopped` is called when the last listener has left."""
        self._take = take
        self._on_stop = stopped
        self._every_seconds = every_seconds
        self._record_seconds = record_seconds
        self._max_listeners = max_listeners
        self._listeners: set[DashboardEventsHandler] = set()
        self._points: deque[Mapping[str, float | None]] = deque(maxlen=MAX_POINTS)
        self._recorded: deque[Mapping[str, float | None]] = deque(maxlen=MAX_RECORDED)
        self._recorded_at = -record_seconds
        self._has_come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.pictures = 0
        """Taken since the start."""

    @property
    def is_watched(self) -> bool:
        """True while somebody looks."""
        return bool(self._listeners)

    def start(self) -> None:
        """Begin to record."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    def join(self, listener: "DashboardEventsHandler", hello: Mapping[str, Any]) -> bool:
        """Send `hello` with the past hour, then every picture. Returns False if there are too many listeners."""
        if len(self._listeners) >= self._max_listeners:
            return False
        self._listeners.add(listener)
        paces = {"every_seconds": self._every_seconds, "record_seconds": self._record_seconds}
        listener.send(event("hello", {**hello, "points": self._past(), **paces}))
        self._has_come.set()
        self.start()
        return True

    def leave(self, listener: "DashboardEventsHandler") -> None:
        """Remove a listener; it may have left before."""
        if listener in self._listeners:
            self._listeners.discard(listener)
            if not self._listeners:
                self._on_stop()

    def close(self) -> None:
        """Drop all listeners, and record nothing more. Browsers reconnect, to the process that serves then."""
        for listener in list(self._listeners):
            listener.drop()
            self.leave(listener)
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _past(self) -> list[Mapping[str, float | None]]:
        """The last minutes by the second where somebody looked, and the hour before them."""
        recent = list(self._points)
        began = recent[0]["t"] if recent else None
        before = [point for point in self._recorded if began is None or (point["t"] or 0) < began]
        return before + recent

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._has_come.clear()
            is_watched = self.is_watched
            self._tell(is_watched, loop.time())
            if is_watched:
                # A late picture does not make the next one come sooner.
                due = max(due + self._every_seconds, loop.time())
                await asyncio.sleep(due - loop.time())
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._has_come.wait(), self._record_seconds)
                due = loop.time()

    def _tell(self, is_watched: bool, now: float) -> None:
        """Take a picture, keep its point, and send it to those who look."""
        point, tables = self._take(is_watched)
        if now - self._recorded_at >= self._record_seconds * 0.95:
            self._recorded_at = now
            self._recorded.append(point)
        if not is_watched:
            self._points.clear()
            return
        self.pictures += 1
        self._points.append(point)
        told = event("picture", {"number": self.pictures, "point": point, **tables})
        for listener in list(self._listeners):
            if not listener.send(told):
                listener.drop()
                self.leave(listener)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("the dashboard failed to take a picture", exc_info=failure)
            self._task = None
            self.close()
