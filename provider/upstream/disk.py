"""Reads local files without making the event loop wait for a disk.

The loop reads only what the system's page cache holds (preadv2(2), RWF_NOWAIT). Threads read the rest.
"""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# Enough for a disk to order its reads. A file system that hangs, such as NFS without its server, holds these threads
# and nothing else.
READERS = 8
# How far apart the page cache is asked. Files that are in memory rarely have smaller holes; one of them costs the loop
# one read of the disk. CPU per GB with 64 streams: 0.17 s without a probe between the ends of 2 MiB, 0.19 s with these,
# 0.21 s with one for each 128 KiB of 1 MiB.
_PROBE_EVERY_BYTES = 512 << 10
# While the disk is read, bytes that are on their way leave holes, so each page is asked for. With a disk of 50 MB/s,
# the loop waited up to 0.5 s for such a hole. CPU per GB of bytes that are in memory meanwhile: 0.12 s more.
_PAGE_BYTES = 4 << 10
# How long after a read of ours the system may still be reading ahead.
_READ_AHEAD_SECONDS = 5.0
_SCRATCH_BYTES = 256 << 10

_PROBE = (bytearray(1),)

Read = TypeVar("Read")


class Disk:
    """Reads of files. All streams of a process share one.

    Descriptors may be closed during `warm` and `read`.
    """

    __slots__ = ("_clock", "_last_read_at", "_reads", "_threads")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # Starts a thread only when one is needed.
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="disk")
        self._clock = clock
        # Reads by threads: how many there are now, and when one last ended.
        self._reads = 0
        self._last_read_at = -_READ_AHEAD_SECONDS

    def close(self) -> None:
        """Accept no more work. Does not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def holds(self, descriptor: int, offset: int, count_bytes: int) -> bool:
        """True if these bytes of the file are very likely in memory: reads of them do not wait for the disk.

        False also if the system cannot tell (`tells`), or if reading fails: a thread will meet that fault again.
        """
        last = offset + count_bytes - 1
        is_read = self._reads > 0 or self._clock() - self._last_read_at < _READ_AHEAD_SECONDS
        try:
            for at in range(offset, last, _PAGE_BYTES if is_read else _PROBE_EVERY_BYTES):
                os.preadv(descriptor, _PROBE, at, os.RWF_NOWAIT)
            os.preadv(descriptor, _PROBE, last, os.RWF_NOWAIT)
        except OSError:
            return False
        return True

    def tells(self, descriptor: int) -> bool:
        """True if the system tells what of the file is in memory. tmpfs, NFS, overlays and some sandboxes do not."""
        try:
            os.preadv(descriptor, _PROBE, 0, os.RWF_NOWAIT)
        except OSError as exc:
            return exc.errno == errno.EAGAIN
        return True

    def read_now(self, descriptor: int, buffer: memoryview, offset: int) -> int | None:
        """Read what is in memory: bytes placed in `buffer`, 0 at the end of the file, None if nothing is in memory.

        None also if the system cannot tell, or if reading fails: a thread will meet that fault again.
        """
        try:
            return os.preadv(descriptor, (buffer,), offset, os.RWF_NOWAIT)
        except OSError:
            return None

    def warm(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[None]":
        """Bring these bytes into memory. The future fails with OSError."""
        return self._counted(_read_through, os.dup(descriptor), offset, count_bytes)

    def read(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[bytes]":
        """Read up to `count_bytes`; fewer at the end of the file. The future fails with OSError."""
        return self._counted(_read, os.dup(descriptor), offset, count_bytes)

    def _counted(
        self, read: Callable[[int, int, int], Read], descriptor: int, offset: int, count_bytes: int
    ) -> "asyncio.Future[Read]":
        reading = asyncio.get_running_loop().run_in_executor(self._threads, read, descriptor, offset, count_bytes)
        self._reads += 1
        reading.add_done_callback(self._has_read)
        return reading

    def _has_read(self, _: object) -> None:
        self._reads -= 1
        self._last_read_at = self._clock()


def _read_through(descriptor: int, offset: int, count_bytes: int) -> None:
    """Read into memory that is thrown away: then the page cache has the bytes, in order and for sure."""
    end = offset + count_bytes
    scratch = memoryview(bytearray(_SCRATCH_BYTES))
    try:
        # The disk goes on while these bytes are sent.
        os.posix_fadvise(descriptor, end, count_bytes, os.POSIX_FADV_WILLNEED)
        while offset < end:
            count = os.preadv(descriptor, (scratch[: end - offset],), offset)
            if not count:
                return
            offset += count
    finally:
        os.close(descriptor)


def _read(descriptor: int, offset: int, count_bytes: int) -> bytes:
    try:
        return os.pread(descriptor, count_bytes, offset)
    finally:
        os.close(descriptor)
