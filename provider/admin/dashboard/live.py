"""Figures that only the process itself knows: its streams, memory and CPU time."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from provider.books.health import Health
from provider.observability.last_errors import LastErrors
from provider.observability.metrics.processes import resident_bytes
from provider.observability.metrics.traffic import Streams

# Each worker lists this many streams, those with the most bytes first. All are counted.
MAX_LISTED_STREAMS = 100
# Bought files that one worker lists: those that fail, then those used last.
MAX_LISTED_FILES = 50


@dataclass(frozen=True, slots=True)
class StreamNow:
    """A stream in progress, without its consumer.

    number: of this process.
    path: splice or copy.
    waits_for: `consumer`, `origin` or nothing.
    did, file_index: what was bought; "" and None for a result of a job.
    length_bytes: of the whole body, None if unknown.
    started_at: by `time.perf_counter`.
    """

    number: int
    endpoint: str
    path: str
    started_at: float
    sent_bytes: int
    waits_for: str
    did: str = ""
    file_index: int | None = None
    length_bytes: int | None = None


class OwnFigures:
    """Takes the figures of this process."""

    def __init__(
        self, listed: Callable[[int], Sequence[StreamNow]], streams: Streams, health: Health, last_errors: LastErrors
    ) -> None:
        """Set the sources.

        Args:
            listed: returns this many streams in progress: those with the most bytes first.
            streams: counts all of them, and their bytes.
            health: of the bought files.
            last_errors: the last failures.
        """
        self._last_errors = last_errors
        self._health = health
        self._listed = listed
        self._streams = streams

    def take(self, is_watched: bool) -> dict[str, Any]:
        """Return JSON values, with empty tables if nobody looks: there may be thousands of streams.

        `at`: by the clock that all processes of a host share. `streams`: the listed ones.
        """
        now = time.perf_counter()
        return {
            "pid": os.getpid(),
            "at": time.monotonic(),
            "sent_bytes": self._streams.all_sent(),
            "cpu_seconds": time.process_time(),
            "rss_bytes": resident_bytes() or 0,
            "files": self._health.worth_showing(time.time(), MAX_LISTED_FILES) if is_watched else [],
            "errors": self._last_errors.shown() if is_watched else [],
            "stream_count": self._streams.under_way,
            "streams": [
                {
                    "number": stream.number,
                    "endpoint": stream.endpoint,
                    "path": stream.path,
                    "age_seconds": round(now - stream.started_at, 1),
                    "sent_bytes": stream.sent_bytes,
                    "waits_for": stream.waits_for,
                    "did": stream.did,
                    "file_index": stream.file_index,
                    "length_bytes": stream.length_bytes,
                }
                for stream in (self._listed(MAX_LISTED_STREAMS) if is_watched else ())
            ],
        }
