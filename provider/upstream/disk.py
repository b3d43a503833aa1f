"""Reads local files without making the event loop wait for a disk.

The loop reads only what the system's page cache holds (preadv2(2), RWF_NOWAIT). Threads read the rest.
"""

import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor

# Enough for a disk to order its reads. A file system that hangs, such as NFS without its server, holds these threads
# and nothing else.
READERS = 8
# How far apart the page cache is asked. Reading a file in order rarely leaves smaller holes; one of them costs the loop
# one read of the disk. CPU per GB with 64 streams: 0.17 s without a probe between the ends of 2 MiB, 0.19 s with these,
# 0.21 s with one for each 128 KiB of 1 MiB.
_PROBE_EVERY_BYTES = 512 << 10
_SCRATCH_BYTES = 256 << 10

_PROBE = (bytearray(1),)


class Disk:
    """Reads of files. All streams of a process share one.

    Descriptors may be closed during `warm` and `read`.
    """

    __slots__ = ("_threads",)

    def __init__(self) -> None:
        # Starts a thread only when one is needed.
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="disk")

    def close(self) -> None:
        """Accept no more work. Does not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def holds(self, descriptor: int, offset: int, count_bytes: int) -> bool:
        """True if these bytes of the file are very likely in memory: reads of them do not wait for the disk.

        False also if the system cannot tell (`tells`), or if reading fails: a thread will meet that fault again.
        """
        last = offset + count_bytes - 1
        try:
            for at in range(offset, last, _PROBE_EVERY_BYTES):
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
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, _read_through, os.dup(descriptor), offset, count_bytes)

    def read(self, descriptor: int, offset: int, count_bytes: int) -> "asyncio.Future[bytes]":
        """Read up to `count_bytes`; fewer at the end of the file. The future fails with OSError."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, _read, os.dup(descriptor), offset, count_bytes)


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
