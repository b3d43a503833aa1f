"""How the metrics of several workers come together: each writes its snapshot into one directory, any reads them all.

`<process id>.json` belongs to a worker; `ended.json` holds the sums of those that have ended, `supervisor.json` what
only their supervisor can count. A file is replaced as a whole, and `ended.json` names the last ones that went into it,
so that no value is ever read twice or not at all.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from provider.observability.metrics.catalog.processes import WORKER_RESTARTS
from provider.observability.metrics.values import Readings, Snapshot, Value, merge, snapshot_of

RESTART_REASONS = ("died", "reload")
_ENDED = "ended.json"
_SUPERVISOR = "supervisor.json"
# More workers than this do not end while one reader goes through the directory.
_NAMED = 64


@dataclass(frozen=True, slots=True)
class _Written:
    """A file's content. `identities`: of the process that wrote it, or of those that went into it last."""

    identities: list[str]
    snapshot: Snapshot


class SharedMetrics:
    """One worker's part of the directory."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._file = self._directory / f"{os.getpid()}.json"
        # Process ids come again.
        self._identity = f"{os.getpid()}-{time.time_ns()}"

    def write(self, snapshot: Snapshot) -> None:
        """Publish our values. On a full disk the last ones stay; the file's time says that we are alive."""
        try:
            _write(self._file, _Written([self._identity], snapshot))
        except OSError:
            _touch(self._file)

    def read(self, own: Snapshot) -> Readings:
        """The values of all workers, `own` for ours."""
        others = [
            written
            for path in self._directory.glob("[0-9]*.json")
            if path != self._file and (written := _read(path)) is not None
        ]
        # Last, so that a worker which ends meanwhile is in it, or was read before.
        ended = _read(self._directory / _ENDED) or _Written([], {})
        supervisor = _read(self._directory / _SUPERVISOR) or _Written([], {})
        living = [other.snapshot for other in others if other.identities[0] not in ended.identities]
        return merge([own, *living], [ended.snapshot, supervisor.snapshot])

    def silent_seconds(self) -> Mapping[int, float]:
        """How long ago each worker (by process id) was last heard of."""
        ages: dict[int, float] = {}
        for path in self._directory.glob("[0-9]*.json"):
            try:
                ages[int(path.stem)] = max(0.0, time.time() - path.stat().st_mtime)
            except OSError:
                continue
        return ages


def bury(directory: str, process_id: int) -> None:
    """Keep the sums of a worker that has ended; for the supervisor, which alone writes `ended.json`."""
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


def tell_restarts(directory: str, restarts: Mapping[str, int]) -> None:
    """How many workers were replaced so far, by reason; for the supervisor. On a full disk the last ones stay."""
    cells: list[tuple[list[str], Value]] = [([reason], count) for reason, count in restarts.items()]
    try:
        _write(Path(directory) / _SUPERVISOR, _Written([], {WORKER_RESTARTS.name: cells}))
    except OSError:
        return


def _read(path: Path) -> _Written | None:
    try:
        identities, snapshot = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return _Written(identities, snapshot)


def _write(path: Path, written: _Written) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps((written.identities, written.snapshot)))
    part.replace(path)


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return
