"""Measures what a server's workers hold, and whether they release it after a fault."""

import time
from dataclasses import dataclass

import psutil

from tests.support.origin import wait_until
from tests.support.processes import running_workers

# Connections that are kept for the next request to the origin, the node and the store: after the warm-up one to each,
# after a test that asks four times at once as many as four. Half a minute later they are closed.
MORE_DESCRIPTORS = 4
# What the allocator keeps of buffers it has had, and code that runs for the first time in a fault. Less than one of the
# bodies that tests have on their way while something breaks.
MORE_BYTES = 16 << 20
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """The most descriptors and the most memory (resident, bytes) of one worker."""

    descriptors: int
    resident_bytes: int

    def __str__(self) -> str:
        return f"{self.descriptors} open descriptors and {self.resident_bytes >> 20} MiB of memory"


def footprint(*pids: int) -> Footprint:
    """Measure these servers' workers, or the server itself if it has none."""
    workers = [worker for pid in pids for worker in (running_workers(pid) or [psutil.Process(pid)])]
    return Footprint(max(worker.num_fds() for worker in workers), max(worker.memory_info().rss for worker in workers))


def warm_footprint(pid: int) -> Footprint:
    """Measure a server of one worker after its first download: once it has opened its books, which it keeps open."""
    process = psutil.Process(pid)
    wait_until(lambda: any(file.path.endswith("books") for file in process.open_files()))
    return footprint(pid)


def held_too_long(
    before: Footprint,
    *pids: int,
    more_descriptors: int = MORE_DESCRIPTORS,
    more_bytes: int | None = MORE_BYTES,
) -> str:
    """Wait until the servers hold no more than before plus the allowance. Returns a sentence if they still do.

    `more_bytes` None: ignore memory, because the processes are not the same as before.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = footprint(*pids)
        few = now.descriptors <= before.descriptors + more_descriptors
        small = more_bytes is None or now.resident_bytes <= before.resident_bytes + more_bytes
        if few and small:
            return ""
        if time.monotonic() > deadline:
            return f"{now}; before there were {before}"
        time.sleep(0.1)
