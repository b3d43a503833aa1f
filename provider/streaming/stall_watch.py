"""Notices a consumer that takes nothing any more: one coarse timer per stream, no work per chunk."""

import asyncio
from collections.abc import Callable

from provider.streaming.copy_pump import Progress
from provider.streaming.sink import Sink

_LOOKS_PER_LIMIT = 4


class StallWatch:
    """Calls `on_stall` once when a write was pending for the limit and the consumer's host acknowledged nothing.

    Acknowledged bytes are looked at, not finished writes: a slow but living consumer may take minutes for one
    buffer, and the kernel reports room only after a third of its own buffer has drained.
    """

    def __init__(
        self, sink: Sink, progress: Progress, *, idle_timeout_seconds: float, on_stall: Callable[[], None]
    ) -> None:
        self._sink, self._progress = sink, progress
        self._limit_seconds = idle_timeout_seconds
        self._on_stall = on_stall
        self._loop = asyncio.get_running_loop()
        self._seen = self._look()
        self._moved_at = self._loop.time()
        self._timer = self._again()

    def stop(self) -> None:
        """The stream is over."""
        self._timer.cancel()

    def _again(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._limit_seconds / _LOOKS_PER_LIMIT, self._check)

    def _check(self) -> None:
        seen, now = self._look(), self._loop.time()
        if seen != self._seen or not self._progress.awaits_consumer:
            self._seen, self._moved_at = seen, now
        if now - self._moved_at >= self._limit_seconds:
            self._on_stall()
        else:
            self._timer = self._again()

    def _look(self) -> tuple[int, int | None]:
        return self._progress.bytes_sent, self._sink.taken_bytes()
