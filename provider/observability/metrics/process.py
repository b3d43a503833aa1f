"""Figures of this process and of the disk that it writes to, as the kernel tells them."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

from provider import __version__
from provider.observability.metrics.instruments import Instruments

_PAGE_BYTES = resource.getpagesize()
# Counting descriptors takes a microsecond for each.
_LOOK_SECONDS = 2.0


class ProcessLook:
    """Brings the instruments of the process up to date, and of the disk behind `storage_folder` once it is set."""

    def __init__(self, instruments: Instruments) -> None:
        self._of = instruments
        self._looked_at = float("-inf")
        self.storage_folder: str | None = None

    def look(self) -> None:
        """Now, unless that was just done."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        figures = process_figures()
        self._of.cpu_seconds.values[()] = figures.cpu_seconds
        if figures.resident_bytes is not None:
            self._of.resident_memory.set(figures.resident_bytes)
        if figures.open_fds is not None:
            self._of.open_fds.set(figures.open_fds)
        self._of.max_fds.set(figures.max_fds)
        self._of.build_info.set(1, (__version__, platform.python_version(), _uvloop_version()))
        if self.storage_folder is not None:
            sizes = tuple(storage_bytes(self.storage_folder))
            if sizes:
                self._of.storage_free.set(sizes[0])
                self._of.storage_size.set(sizes[1])


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """`resident_bytes` and `open_fds` are None where there is no /proc."""

    cpu_seconds: float
    resident_bytes: int | None
    open_fds: int | None
    max_fds: int


def process_figures() -> ProcessFigures:
    """Of now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return ProcessFigures(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        resident_bytes=_resident_bytes(),
        open_fds=_open_fds(),
        max_fds=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def storage_bytes(folder: str) -> Iterator[int]:
    """Free for us, and in all; nothing when the folder is away."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return
    yield disk.f_bavail * disk.f_frsize
    yield disk.f_blocks * disk.f_frsize


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return None


def _open_fds() -> int | None:
    try:
        # One of them is the listing's own.
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def _uvloop_version() -> str:
    # Loaded by then, if the server runs on it.
    import uvloop  # noqa: PLC0415

    return str(uvloop._version.__version__)
