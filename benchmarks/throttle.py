"""A slow disk: a control group whose processes read no more than so many bytes a second from it. Needs root.

cgroups(7); io.max of version 2, or blkio.throttle.read_bps_device of version 1. What is in the page cache is not read.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.daemon import PartFailed

_MOUNTS, _DEVICES = Path("/proc/mounts"), Path("/sys/dev/block")
_LEAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """The group. `label`: the device, its speed and what slows it."""

    group: Path
    label: str

    def slow(self, pids: Iterable[int]) -> None:
        """Put processes into the group. Raises OSError."""
        for pid in pids:
            (self.group / "cgroup.procs").write_text(str(pid))


@contextmanager
def throttled(folder: Path, bytes_per_second: int) -> Iterator[Throttle]:
    """Limit the disk of this folder. Leave the block when the processes have ended. Raises PartFailed."""
    device = disk_of(folder)
    for parent, file, line in _ways(device, bytes_per_second):
        group = parent / f"provider-bench-{os.getpid()}"
        try:
            group.mkdir()
            (group / file).write_text(line)
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield Throttle(group, f"{device} at {bytes_per_second / 1e6:g} MB/s by {file}")
        finally:
            _remove(group)
        return
    raise PartFailed("skipped, because no control group of this host slows a disk down (io.max, blkio; needs root)")


def disk_of(folder: Path) -> str:
    """Return major:minor of the whole disk under a folder. Raises PartFailed."""
    number = folder.stat().st_dev
    device = _DEVICES / f"{os.major(number)}:{os.minor(number)}"
    if not device.exists():
        raise PartFailed(f"skipped, because {folder} is not on a disk: give --storage on one")
    if (device / "partition").exists():
        device = device.resolve().parent
    return (device / "dev").read_text().strip()


def _ways(device: str, bytes_per_second: int) -> Iterator[tuple[Path, str, str]]:
    for line in _MOUNTS.read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        path = Path(where)
        if kind == "cgroup2":
            with contextlib.suppress(OSError):
                (path / "cgroup.subtree_control").write_text("+io")
            yield path, "io.max", f"{device} rbps={bytes_per_second}"
        elif kind == "cgroup" and "blkio" in options.split(","):
            yield path, "blkio.throttle.read_bps_device", f"{device} {bytes_per_second}"


def _remove(group: Path) -> None:
    """The kernel keeps a group for as long as a process of it is being reaped."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
