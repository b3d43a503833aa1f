"""Reads processes from Linux' /proc: descendants, CPU time with the kernel's part, memory, cores."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# proc(5), clear_refs: writing this resets the peak resident size to the current size.
RESET_PEAK = "5"


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants; empty if it has ended."""
    found = [pid] if (PROC / str(pid)).exists() else []
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            for child in (PROC / str(pid) / "task" / task / "children").read_text().split():
                found += tree(int(child))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all threads that are alive, user and kernel; only differences mean something.

    From the scheduler's own count in nanoseconds; where the kernel has none, from ticks of 10 ms.
    """
    return sum(_scheduled_seconds(pid) for pid in pids)


def peak_rss_bytes(pids: Iterable[int]) -> int:
    """Return the sum of the peak resident sizes since `reset_peak_rss`. Shared pages count for each process."""
    return sum(_status_bytes(pid, "VmHWM") for pid in pids)


def rss_bytes(pids: Iterable[int]) -> int:
    """Return the sum of the current resident sizes. Shared pages count for each process."""
    return sum(_status_bytes(pid, "VmRSS") for pid in pids)


def reset_peak_rss(pids: Iterable[int]) -> None:
    """Reset the peak, if the kernel allows it."""
    for pid in pids:
        with contextlib.suppress(OSError):
            (PROC / str(pid) / "clear_refs").write_text(RESET_PEAK)


def pin(pids: Iterable[int], cores: frozenset[int]) -> None:
    """Keep every thread of the processes on these cores."""
    for pid in pids:
        for task in _tasks(pid):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), cores)


def shared_out(*, one_core: bool) -> tuple[frozenset[int], frozenset[int]]:
    """Share out the cores: some for what is measured, the others for everything else.

    The first part is one core, or half of all. With a single core both parts are the same. So they are with two cores,
    if half of them is not enough for two workers.
    """
    cores = sorted(os.sched_getaffinity(0))
    if one_core and len(cores) > 1:
        return frozenset(cores[-1:]), frozenset(cores[:-1])
    if len(cores) < 4:
        return frozenset(cores), frozenset(cores)
    half = len(cores) // 2
    return frozenset(cores[half:]), frozenset(cores[:half])


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(PROC / str(pid) / "task")
    except OSError:
        return []


def _scheduled_seconds(pid: int) -> float:
    nanoseconds = 0
    for task in _tasks(pid):
        with contextlib.suppress(OSError, IndexError):
            nanoseconds += int((PROC / str(pid) / "task" / task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9 if nanoseconds else _ticked_seconds(pid)


def _ticked_seconds(pid: int) -> float:
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime and stime, 14th and 15th of proc(5), are here counted from the field after the command's name
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _status_bytes(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
