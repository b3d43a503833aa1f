"""Live figures of one stream, and a watch that reports a side that makes no progress."""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Literal
from weakref import WeakKeyDictionary

from provider.observability.metrics.traffic import Sent
from provider.streaming.sink import Sink


@dataclass(slots=True)
class Progress:
    """Live figures of one stream. Only the stream's path writes them; anyone may read them at any time.

    Attributes:
        bytes_sent: body bytes passed to the consumer's connection. Set by `add`.
        awaits_consumer: the stream waits for the consumer.
        awaits_origin: the stream waits for the origin. Set by paths whose source does not apply its idle limit.
        path: the current path.
        length_bytes: length of the whole body, None if unknown.
        total: counts the bytes of all streams of the endpoint.
        number: of this stream, counted from 1 in each process.
    """

    bytes_sent: int = 0
    awaits_consumer: bool = False
    awaits_origin: bool = False
    path: Literal["splice", "sendfile", "copy"] = "copy"
    length_bytes: int | None = None
    total: Sent = field(default_factory=lambda: Sent(""), compare=False)
    number: int = field(default_factory=count(1).__next__, compare=False)

    def add(self, count: int) -> None:
        """Count body bytes that were passed to the consumer's connection."""
        self.bytes_sent += count
        self.total.bytes += count


_LOOKS_PER_LIMIT = 4
# Watches that are due within this part of their interval are looked at together: within a quarter of a second if the
# limit is a minute.
_TOGETHER = 1 / 64


class StallWatch:
    """Calls back if the stream waited for one side during that side's whole limit (seconds) and nothing moved.

    One coarse timer for all streams and no work per chunk. The consumer's callback is called once. For the consumer,
    acknowledged bytes count, not finished writes: a slow client may take minutes for one buffer, and the kernel reports
    room only after a third of its own buffer has drained.
    """

    __slots__ = (
        "_consumer_idle_seconds",
        "_origin_idle_seconds",
        "_progress",
        "_received_at",
        "_round",
        "_seen_sent",
        "_seen_taken",
        "_sides",
        "_soon",
        "_taken_at",
    )  # fmt: skip

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
        self._sides: tuple[Sink, Callable[[], None], Callable[[], None]] | None
        self._sides = sink, on_consumer_stall, on_origin_stall
        self._progress = progress
        self._consumer_idle_seconds, self._origin_idle_seconds = consumer_idle_seconds, origin_idle_seconds
        self._seen_sent = 0
        self._seen_taken: int | None = None
        self._taken_at = self._received_at = 0.0
        self._round: _Round | None = None
        # A small body ends before the loop turns, and then no watch begins.
        self._soon: asyncio.Handle | None = asyncio.get_running_loop().call_soon(self._begin)

    def stop(self) -> None:
        """Stop watching, since the stream is over."""
        if self._soon is not None:
            self._soon.cancel()
        if self._round is not None:
            self._round.discard(self)
        self._soon = self._round = self._sides = None

    def _begin(self) -> None:
        self._soon = None
        if self._sides is None:
            return
        loop = asyncio.get_running_loop()
        self._seen_sent, self._seen_taken = self._progress.bytes_sent, self._sides[0].taken_bytes()
        self._taken_at = self._received_at = loop.time()
        self._round = _round_of(loop, min(self._consumer_idle_seconds, self._origin_idle_seconds) / _LOOKS_PER_LIMIT)
        self._round.add(self)

    def look(self, now: float) -> None:
        """Look at both sides."""
        if self._sides is None:
            return
        sink, on_consumer_stall, on_origin_stall = self._sides
        progress = self._progress
        sent, taken = progress.bytes_sent, sink.taken_bytes()
        moved = sent != self._seen_sent
        if moved or taken != self._seen_taken or not progress.awaits_consumer:
            self._taken_at = now
        if moved or not progress.awaits_origin:
            self._received_at = now
        self._seen_sent, self._seen_taken = sent, taken
        if now - self._taken_at >= self._consumer_idle_seconds:
            self.stop()
            on_consumer_stall()
            return
        if now - self._received_at >= self._origin_idle_seconds:
            # Another origin may carry on; it gets the whole limit again.
            self._received_at = now
            on_origin_stall()


class _Round:
    """The watches of one interval, in the order in which they are due. One timer serves all of them."""

    __slots__ = ("_interval_seconds", "_is_timed", "_loop", "_watches")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_seconds: float) -> None:
        # A weak reference, because the loop's timer holds this object.
        self._loop = weakref.proxy(loop)
        self._interval_seconds = interval_seconds
        self._is_timed = False
        # Values: when a watch is due, by the loop's clock.
        self._watches: dict[StallWatch, float] = {}

    def add(self, watch: StallWatch) -> None:
        """Look at it in one interval, and again until it is discarded."""
        self._watches[watch] = self._loop.time() + self._interval_seconds
        self._set_timer()

    def discard(self, watch: StallWatch) -> None:
        """Look at it no more."""
        self._watches.pop(watch, None)

    def _set_timer(self) -> None:
        if self._watches and not self._is_timed:
            self._is_timed = True
            self._loop.call_at(next(iter(self._watches.values())), self._look)

    def _look(self) -> None:
        self._is_timed = False
        now = self._loop.time()
        until = now + self._interval_seconds * _TOGETHER
        try:
            for watch in list(takewhile(lambda watch: self._watches[watch] <= until, self._watches)):
                # An earlier one may have ended this one's stream.
                if self._watches.pop(watch, None) is not None:
                    self._watches[watch] = now + self._interval_seconds
                    watch.look(now)
        finally:
            # After an unforeseen failure too: the others must still be watched.
            self._set_timer()


_rounds: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Round]]" = WeakKeyDictionary()


def _round_of(loop: asyncio.AbstractEventLoop, interval_seconds: float) -> _Round:
    rounds = _rounds.setdefault(loop, {})
    found = rounds.get(interval_seconds)
    if found is None:
        found = rounds[interval_seconds] = _Round(loop, interval_seconds)
    return found
