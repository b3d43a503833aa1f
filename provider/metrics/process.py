"""Figures of this process and of the disk that it writes to, as the kernel tells them."""

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass

_PAGE_BYTES = resource.getpagesize()


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
