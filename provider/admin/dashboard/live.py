"""What only a process itself knows: its streams, memory and CPU time; told to the worker with the dashboard on demand.

Workers share a directory. While somebody looks, the worker that shows the dashboard keeps a mark there fresh, and the
others, which pass by now and then, leave their figures beside it. Else they look at one file's time, nothing more.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from provider.wire.text import digits

# Several times the pace of both sides.
FRESH_SECONDS = 4.0
# Streams that one worker lists, those with most bytes first; all are counted.
MAX_LISTED_STREAMS = 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class StreamNow:
    """A stream under way, without who and what. `key` is the same object as long as it lasts.

    `path`: splice or copy; `waits_for`: `consumer`, `origin` or nothing; `started_at` by `time.perf_counter`.
    """

    key: object
    endpoint: str
    path: str
    started_at: float
    sent_bytes: int
    waits_for: str


class OwnFigures:
    """Takes the figures of this process."""

    def __init__(self, streams: Callable[[], Iterable[StreamNow]], sent_bytes: Callable[[], float]) -> None:
        """`sent_bytes`: body bytes handed to consumers so far, streams under way included."""
        self._streams = streams
        self._sent_bytes = sent_bytes
        # Nothing is kept alive for being looked at.
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._next_number = itertools.count(1)

    def take(self) -> dict[str, Any]:
        """JSON values; `at` by the clock that all processes of a machine share, `streams` as far as they are listed."""
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
            "rss_bytes": _resident_bytes(),
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


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * _PAGE_BYTES


class SharedFigures:
    """The figures of several workers in one directory."""

    def __init__(self, directory: str) -> None:
        self._mark = Path(directory, "dashboard.watched")
        self._directory = Path(directory)

    def ask(self) -> None:
        """Ask all workers for their figures, from now on for FRESH_SECONDS."""
        with contextlib.suppress(OSError):
            self._mark.touch()

    def answer(self, take: Callable[[], dict[str, Any]]) -> None:
        """Leave the figures that `take` gives, if they were asked for."""
        if not _is_fresh(self._mark):
            return
        own = self._directory / f"dashboard.{os.getpid()}"
        written = own.with_suffix(f".{os.getpid()}-new")
        with contextlib.suppress(OSError):
            written.write_bytes(orjson.dumps(take()))
            written.replace(own)

    def others(self) -> Iterator[dict[str, Any]]:
        """What the other workers left of late."""
        for path in self._directory.glob("dashboard.*"):
            process_id = digits(path.suffix.removeprefix("."))
            if process_id not in (None, os.getpid()) and _is_fresh(path):
                with contextlib.suppress(OSError, orjson.JSONDecodeError):
                    yield orjson.loads(path.read_bytes())


def _is_fresh(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False
