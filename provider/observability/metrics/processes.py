"""Metrics of workers, their event loops, memory and files, and of the disk. Most come from the kernel."""

import os
import platform
import resource
import time
from collections.abc import Callable

from provider import __version__
from provider.observability.metrics.instruments import Counter, Gauge, Group, Histogram

# On an idle loop, timers come up to a millisecond late. Consumers notice 100 ms and more.
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_PAGE_BYTES = resource.getpagesize()
# Counting descriptors takes a microsecond for each, and a disk may be slow.
_SELDOM_SECONDS = 2.0


class Processes(Group):
    """Workers and what they use."""

    title = "Processes"

    loop_lag = Histogram(
        "provider_event_loop_lag_seconds",
        "How late a timer of the event loop was, sampled twice a second by each worker.",
        buckets=_LAG,
        begin=[()],
    )
    workers = Gauge("provider_workers", "Worker processes that serve.")
    worker_restarts = Counter(
        "provider_worker_restarts_total",
        "Workers that were replaced; only with a settings file or several workers.",
        {"reason": "`died`: it ended by itself; `reload`: its successor served, so it had to finish"},
    )
    certificate_expiry = Gauge(
        "provider_tls_certificate_expiry_timestamp_seconds",
        "When the certificate shown to consumers expires, in unix seconds; only with TLS on this server.",
        merge="min",
    )
    storage_free = Gauge("provider_storage_free_bytes", "Free space of the disk behind `STORAGE_PATH`.", merge="min")
    storage_size = Gauge("provider_storage_size_bytes", "Size of the disk behind `STORAGE_PATH`.", merge="max")
    cpu_seconds = Counter("process_cpu_seconds_total", "CPU time, user and system, of all workers.")
    resident_memory = Gauge(
        "process_resident_memory_bytes", "Resident memory of all workers; each counts the pages they share."
    )
    writer_cpu_seconds = Gauge(
        "provider_nonce_writer_cpu_seconds",
        "CPU time of the process that writes nonces, since it started; only with several workers and without Redis.",
        merge="max",
    )
    writer_memory = Gauge(
        "provider_nonce_writer_resident_bytes", "Resident memory of the process that writes nonces.", merge="max"
    )
    open_fds = Gauge("process_open_fds", "Open file descriptors of the worker with most.", merge="max")
    max_fds = Gauge("process_max_fds", "File descriptors that one worker may have.", merge="min")
    start_time = Gauge("process_start_time_seconds", "When the oldest worker started, in unix seconds.", merge="min")
    build_info = Gauge(
        "provider_build_info",
        "Always 1.",
        {"version": "of this server", "python": "version of Python", "uvloop": "version of uvloop"},
        merge="max",
    )

    def __init__(self, *, is_on: bool = True) -> None:
        super().__init__(is_on=is_on)
        self.workers.set(1)
        self.start_time.set(time.time())
        self.build_info.set(1, __version__, platform.python_version(), _uvloop_version())
        self.cpu_seconds.follow(_seldom(time.process_time))
        self.resident_memory.follow(_seldom(resident_bytes))
        self.open_fds.follow(_seldom(_open_fds))
        self.max_fds.follow(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def follow_storage(self, folder: str) -> None:
        """Follow the disk that holds `folder`."""
        self.storage_free.follow(_seldom(lambda: _disk_bytes(folder)[0]))
        self.storage_size.follow(_seldom(lambda: _disk_bytes(folder)[1]))

    def follow_nonce_writer(self, process_id: Callable[[], int | None]) -> None:
        """Follow the process that writes nonces for this worker among others."""
        self.writer_cpu_seconds.follow(_seldom(lambda: _cpu_seconds(process_id())))
        self.writer_memory.follow(_seldom(lambda: resident_bytes(process_id() or 0)))


def resident_bytes(process_id: int | None = None) -> int | None:
    """Resident memory of a process, by default of this one. None without /proc, or when the process has ended."""
    try:
        with open(f"/proc/{'self' if process_id is None else process_id}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return None


def _cpu_seconds(process_id: int | None) -> float | None:
    """CPU time of a process, user and system. None without one."""
    try:
        with open(f"/proc/{process_id}/stat", encoding="ascii", errors="replace") as file:
            # proc(5): `utime` and `stime` are the 14th and 15th field; the second is a name in parentheses.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _open_fds() -> int | None:
    try:
        # Linux from 6.2 on keeps the number here: a list of 15 000 names took 60 ms.
        count = os.stat("/proc/self/fd").st_size
        # The listing itself uses one of them.
        return count or len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def _disk_bytes(folder: str) -> tuple[int | None, int | None]:
    """Return the free space for us and the total space. None if the folder is not reachable."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None, None
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def _seldom(read: Callable[[], float | None]) -> Callable[[], float | None]:
    """Wrap `read` so that it is called at most once in two seconds. Between the calls it returns None."""
    read_at = float("-inf")

    def read_seldom() -> float | None:
        nonlocal read_at
        now = time.monotonic()
        if now - read_at < _SELDOM_SECONDS:
            return None
        read_at = now
        return read()

    return read_seldom


def _uvloop_version() -> str:
    # Workers have loaded it by this time.
    import uvloop  # noqa: PLC0415

    return str(uvloop._version.__version__)
