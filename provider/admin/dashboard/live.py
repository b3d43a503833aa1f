"""Figures that only the process itself knows: its streams, memory and CPU time."""

import itertools
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from provider.books.health import Health
from provider.observability.metrics.processes import resident_bytes

# Each worker lists this many streams, those with the most bytes first. All are counted.
MAX_LISTED_STREAMS = 100
# Bought files that one worker lists: those that fail, then those used last.
MAX_LISTED_FILES = 50


@dataclass(frozen=True, slots=True)
class StreamNow:
    """A stream in progress, without its consumer and file.

    key: the same object as long as the stream lasts.
    path: splice or copy.
    waits_for: `consumer`, `origin` or nothing.
    started_at: by `time.perf_counter`.
    """

    key: object
    endpoint: str
    path: str
    started_at: float
    sent_bytes: int
    waits_for: str


class OwnFigures:
    """Takes the figures of this process."""

    def __init__(
        self, streams: Callable[[], Iterable[StreamNow]], sent_bytes: Callable[[], float], health: Health
    ) -> None:
        """`sent_bytes`: body bytes sent to consumers so far, including streams in progress."""
        self._health = health
        self._streams = streams
        self._sent_bytes = sent_bytes
        # Looking at a stream must not keep it alive.
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._next_number = itertools.count(1)

    def take(self) -> dict[str, Any]:
        """Return JSON values. `at`: by the clock that all processes of a host share. `streams`: the listed ones."""
        streams = sorted(self._streams(), key=lambda stream: stream.started_at)
        now = time.perf_counter()
        for stream in streams:
            if stream.key not in self._numbers:
                self._numbers[stream.key] = next(self._next_number)
        streams.sort(key=lambda stream: stream.sent_bytes, reverse=True)
        return {
            "pid": os.getpid(),
            "at": time.monotonic(),
            "sent_bytes": self._sent_bytes(),
            "cpu_seconds": time.process_time(),
            "rss_bytes": resident_bytes() or 0,
            "files": self._health.worth_showing(time.time(), MAX_LISTED_FILES),
            "stream_count": len(streams),
            "streams": [
                {
                    "number": self._numbers[stream.key],
                    "endpoint": stream.endpoint,
                    "path": stream.path,
                    "age_seconds": round(now - stream.started_at, 1),
                    "sent_bytes": stream.sent_bytes,
                    "waits_for": stream.waits_for,
                }
                for stream in streams[:MAX_LISTED_STREAMS]
            ],
        }
