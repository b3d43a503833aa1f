"""The board: a directory in which each worker writes a file, and which all workers read.

`<process id>.json` belongs to one worker. It has its metrics, and its figures for the dashboard while somebody watches.
`ended.json` has the sums of workers that have ended, and `supervisor.json` the counts of their supervisor. The worker
that shows the dashboard renews `watched` meanwhile.

Files are replaced as a whole. `ended.json` names the workers that were added last, so that a reader counts no value
twice and misses none.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from provider.observability.metrics.instruments import Snapshot, Value
from provider.observability.metrics.metrics import Metrics
from provider.observability.metrics.processes import Processes
from provider.observability.metrics.values import Readings, merge, snapshot_of

RESTART_REASONS = ("died", "reload")
# Several times the interval at which workers write and watch.
FRESH_SECONDS = 4.0
_ENDED = "ended.json"
_SUPERVISOR = "supervisor.json"
_WATCHED = "watched"
# No more workers than this end while one reader goes through the directory.
_NAMED = 64

Figures = Mapping[str, Any]
"""JSON values that a worker shows on the dashboard."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The content of a file. `identities`: of the process that wrote it, or of those that were added to it last."""

    identities: list[str]
    snapshot: Snapshot
    figures: Figures | None = None


class Board:
    """The board as one worker sees it. `figures` returns its own figures; its argument says whether somebody watches.

    Without a directory there are no other workers.
    """

    def __init__(self, metrics: Metrics, figures: Callable[[bool], Figures], directory: str | None = None) -> None:
        self._metrics = metrics
        self._figures = figures
        self._directory = None if directory is None else Path(directory)
        # Process ids are used again.
        self._identity = f"{os.getpid()}-{time.time_ns()}"
        if directory is not None:
            for reason in RESTART_REASONS:
                metrics.processes.worker_restarts.begin(reason)

    @property
    def is_on(self) -> bool:
        """Whether metrics are counted."""
        return self._metrics.is_on

    def write(self) -> None:
        """Publish our values, and our figures while somebody watches.

        The time of the file shows that this worker is alive. On a full disk the previous values stay.
        """
        if self._directory is None:
            return
        path = self._directory / f"{os.getpid()}.json"
        watched_ago = _age_seconds(self._directory / _WATCHED)
        is_watched = watched_ago is not None and watched_ago < FRESH_SECONDS
        figures = self._figures(True) if is_watched else None
        try:
            _write(path, _Written([self._identity], self._metrics.snapshot(), figures))
        except OSError:
            with contextlib.suppress(OSError):
                os.utime(path)

    def read(self) -> Readings:
        """Return the values of all workers, ours as they are now."""
        own = self._metrics.snapshot()
        if self._directory is None:
            return merge([own])
        others = self._others()
        # Read last: a worker that ends meanwhile is then in it, or was read before.
        ended = _read(self._directory / _ENDED) or _Written([], {})
        supervisor = _read(self._directory / _SUPERVISOR) or _Written([], {})
        living = [other.snapshot for other in others if other.identities[0] not in ended.identities]
        return merge([own, *living], [ended.snapshot, supervisor.snapshot])

    def own_figures(self) -> Figures:
        """Our figures while nobody watches."""
        return self._figures(False)

    def watch(self) -> list[Figures]:
        """Return the figures of all workers, ours first. The others publish theirs for the next FRESH_SECONDS."""
        own = self._figures(True)
        if self._directory is None:
            return [own]
        with contextlib.suppress(OSError):
            (self._directory / _WATCHED).touch()
        return [own, *(other.figures for other in self._others(FRESH_SECONDS) if other.figures is not None)]

    def silent_seconds(self) -> Mapping[int, float]:
        """Return by process id how many seconds ago each other worker last wrote."""
        return {int(path.stem): age for path in self._other_files() if (age := _age_seconds(path)) is not None}

    def _others(self, max_age_seconds: float = float("inf")) -> list[_Written]:
        return [
            written
            for path in self._other_files()
            if (age := _age_seconds(path)) is not None
            and age < max_age_seconds
            and (written := _read(path)) is not None
        ]

    def _other_files(self) -> list[Path]:
        if self._directory is None:
            return []
        return [path for path in self._directory.glob("[0-9]*.json") if path.stem != str(os.getpid())]


def bury(directory: str, process_id: int) -> None:
    """Keep the sums of a worker that has ended. For the supervisor, the only writer of `ended.json`."""
    folder = Path(directory)
    path = folder / f"{process_id}.json"
    last = _read(path)
    if last is None:
        return
    before = _read(folder / _ENDED) or _Written([], {})
    sums = merge([], [before.snapshot, last.snapshot])
    named = [*before.identities, *last.identities][-_NAMED:]
    try:
        _write(folder / _ENDED, _Written(named, snapshot_of(sums)))
        path.unlink()
    except OSError:
        return


def write_restarts(directory: str, restarts: Mapping[str, int]) -> None:
    """Publish how many workers were replaced so far, by reason. For the supervisor.

    On a full disk the last counts stay.
    """
    cells: list[tuple[list[str], Value]] = [([reason], count) for reason, count in restarts.items()]
    with contextlib.suppress(OSError):
        _write(Path(directory) / _SUPERVISOR, _Written([], {Processes.worker_restarts.name: cells}))


def _read(path: Path) -> _Written | None:
    try:
        return _Written(*orjson.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None


def _write(path: Path, written: _Written) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps((written.identities, written.snapshot, written.figures)))
    part.replace(path)


def _age_seconds(path: Path) -> float | None:
    """Return the age of a file in seconds; None if there is none."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
