"""Live figures of one stream, and a watch that reports a side that makes no progress."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from provider.streaming.sink import Sink


@dataclass(slots=True)
class Progress:
    """Live figures of one stream. Only the stream's path writes them; anyone may read them at any time.

    Attributes:
        bytes_sent: body bytes passed to the consumer's connection.
        awaits_consumer: the stream waits for the consumer.
        awaits_origin: the stream waits for the origin. Set by paths whose source does not apply its idle limit.
        path: the current path.
    """

    bytes_sent: int = 0
    awaits_consumer: bool = False
    awaits_origin: bool = False
    path: Literal["splice", "sendfile", "copy"] = "copy"


_LOOKS_PER_LIMIT = 4


class StallWatch:
    """Calls back if the stream waited for one side during that side's whole limit (seconds) and nothing moved.

    One coarse timer per stream and no work per chunk. The consumer's callback is called once. For the consumer,
    acknowledged bytes count, not finished writes: a slow client may take minutes for one buffer, and the kernel reports
    room only after a third of its own buffer has drained.
    """

    def __init__(
        self,
        sink: Sink,
        progress: Progress,
        *,
        consumer_idle_seconds: float,
        origin_idle_seconds: float,
        on_consumer_stall: Callable[[], None],
        on_origin_stall: Callable[[], None],
    ) -> None:
        self._sink, self._progress = sink, progress
        self._consumer_idle_seconds, self._origin_idle_seconds = consumer_idle_seconds, origin_idle_seconds
        self._on_consumer_stall, self._on_origin_stall = on_consumer_stall, on_origin_stall
        self._loop = asyncio.get_running_loop()
        self._interval_seconds = min(consumer_idle_seconds, origin_idle_seconds) / _LOOKS_PER_LIMIT
        # A small body ends before the loop turns, and then no timer starts.
        self._timer: asyncio.Handle = self._loop.call_soon(self._begin)

    def stop(self) -> None:
        """Stop watching, since the stream is over."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._seen_sent, self._seen_taken = self._progress.bytes_sent, self._sink.taken_bytes()
        self._taken_at = self._received_at = self._loop.time()
        self._timer = self._again()

    def _again(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._interval_seconds, self._check)

    def _check(self) -> None:
        progress, now = self._progress, self._loop.time()
        sent, taken = progress.bytes_sent, self._sink.taken_bytes()
        moved = sent != self._seen_sent
        if moved or taken != self._seen_taken or not progress.awaits_consumer:
            self._taken_at = now
        if moved or not progress.awaits_origin:
            self._received_at = now
        self._seen_sent, self._seen_taken = sent, taken
        if now - self._taken_at >= self._consumer_idle_seconds:
            self._on_consumer_stall()
            return
        self._timer = self._again()
        if now - self._received_at >= self._origin_idle_seconds:
            # Another origin may carry on; it gets the whole limit again.
            self._received_at = now
            self._on_origin_stall()
