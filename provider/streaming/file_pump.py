"""The path for local files: from the page cache into a plain consumer's socket by `sendfile`, not via user space.

Bytes that are not in a file are copied. Bytes that are not in memory are first read by a thread, so that the event loop
never waits for a disk.
"""

import asyncio
import errno
import os
import select
import socket
from collections.abc import Awaitable
from typing import Literal

from provider.errors import UpstreamTruncated
from provider.streaming.copy_pump import BufferPool
from provider.streaming.epoll_watcher import loop_watcher
from provider.streaming.progress import Progress
from provider.streaming.sink import ConsumerGone
from provider.upstream.disk import Disk
from provider.upstream.source import FilePlace, Source

# A stream that never has to wait lets the others run after this many bytes. It is also the most that one call of
# `sendfile` sends; the page cache is asked for these bytes before.
TURN_BYTES = 2 << 20
# What a thread brings into memory at a time.
_WARM_BYTES = 2 << 20

# Refusals by the kernel, a sandbox or a file system, before any byte moved.
_NO_SENDFILE = frozenset((errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP))

if hasattr(select, "epoll"):
    _LOST = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    _CONSUMER_EVENTS = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class FilePump:
    """Moves one body. Call `run` once; `fail` ends it from outside.

    Args:
        consumer: a plain socket. The reply is not chunked.
    """

    __slots__ = (
        "_buffer",
        "_buffers",
        "_by_file",
        "_consumer",
        "_disk",
        "_error",
        "_held",
        "_loop",
        "_progress",
        "_source",
        "_waiter",
        "_warm_bytes",
        "_watched",
        "_watcher",
        "zero_copy_bytes",
    )

    path: Literal["sendfile"] = "sendfile"

    def __init__(
        self, source: Source, consumer: socket.socket, *, buffers: BufferPool, disk: Disk, progress: Progress
    ) -> None:
        self._source, self._consumer, self._progress = source, consumer, progress
        self._buffers, self._disk = buffers, disk
        self._loop = asyncio.get_running_loop()
        self._watcher = loop_watcher()
        # Body bytes sent from files.
        self.zero_copy_bytes = 0
        # False after the system refused `sendfile`.
        self._by_file = True
        # Of the next bytes in the file, those that a thread has just brought into memory.
        self._warm_bytes = 0
        # Copied bytes that go out before anything else, and the buffer that they are in.
        self._held = self._buffer = memoryview(b"")
        # The descriptor in `_watcher`, -1 for none. The consumer's socket may be closed from outside at any time.
        self._watched = -1
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    async def run(self) -> None:
        """Move everything up to the clean end of the body. Closes neither side.

        Raises:
            UpstreamTruncated, UpstreamTimedOut, ConsumerGone: that side failed.
            The error passed to `fail`.
        """
        try:
            while (wait := self._turn()) is not None:
                await wait
                # Drop the reference: the error's traceback will hold this object.
                error, self._error = self._error, None
                if error is not None:
                    raise error
        finally:
            self._watcher.forget(self._watched, self._consumer_ready)

    def fail(self, error: Exception) -> None:
        """End the transfer: `run` raises `error`. Call this before either side is closed."""
        self._error = error
        self._wake()

    def _turn(self) -> Awaitable[None] | None:
        """Send until something must be waited for, and return that. None at the end of the body."""
        source, progress = self._source, self._progress
        limit = progress.bytes_sent + TURN_BYTES
        while progress.bytes_sent < limit:
            if self._held:
                if not self._send_held():
                    return self._consumer_takes()
                continue
            place = source.raw_file() if self._by_file else None
            run = source.contiguous_bytes
            if place is None or not run:
                count = self._read()
                if not count:
                    return source.wait_ready() if count is None else None
                continue
            count = min(run, TURN_BYTES, self._warm_bytes or TURN_BYTES)
            if not self._in_memory(place, count):
                return self._warm(place, min(run, _WARM_BYTES))
            if not self._send(place, count):
                return self._consumer_takes()
        return asyncio.sleep(0)

    def _read(self) -> int | None:
        """Copy what the source has in memory. Returns as `read_now`."""
        self._buffer = self._buffers.take()
        count = self._source.read_now(self._buffer)
        self._held = self._buffer[: count or 0]
        if not count:
            self._buffers.give(self._buffer)
        return count

    def _send_held(self) -> bool:
        """Send the copied bytes. False if the consumer accepts no more now."""
        try:
            sent = self._consumer.send(self._held)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise ConsumerGone from exc
        self._progress.add(sent)
        self._held = self._held[sent:]
        if not self._held:
            self._buffers.give(self._buffer)
        return not self._held

    def _in_memory(self, place: FilePlace, count_bytes: int) -> bool:
        return self._warm_bytes > 0 or self._disk.holds(place.descriptor, place.offset, count_bytes)

    def _send(self, place: FilePlace, count_bytes: int) -> bool:
        """Send from the file. False if the consumer accepts no more now."""
        try:
            sent = os.sendfile(self._consumer.fileno(), place.descriptor, place.offset, count_bytes)
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in _NO_SENDFILE and not self.zero_copy_bytes:
                self._by_file = False
                return True
            raise (_unreadable() if exc.errno == errno.EIO else ConsumerGone()) from exc
        if not sent:
            raise UpstreamTruncated(detail="file: it became shorter while it was read")
        self._source.advance(sent)
        self.zero_copy_bytes += sent
        self._warm_bytes = max(0, self._warm_bytes - sent)
        self._progress.add(sent)
        return sent == count_bytes

    async def _warm(self, place: FilePlace, count_bytes: int) -> None:
        """Wait until a thread has read the next bytes."""
        read = self._disk.warm(place.descriptor, place.offset, count_bytes)
        read.add_done_callback(self._warmed)
        self._warm_bytes = count_bytes
        self._progress.awaits_origin = True
        try:
            await self._wait()
        finally:
            self._progress.awaits_origin = False

    def _warmed(self, read: "asyncio.Future[None]") -> None:
        if not read.cancelled() and read.exception() is not None and self._error is None:
            self._error = _unreadable()
        self._wake()

    async def _consumer_takes(self) -> None:
        """Wait until the consumer's socket accepts bytes."""
        descriptor = self._consumer.fileno()
        if descriptor < 0:
            raise ConsumerGone
        # Edge-triggered: nothing to undo after the wait. Each call makes the kernel check the room of this moment.
        self._watched = descriptor
        self._watcher.watch(descriptor, _CONSUMER_EVENTS, self._consumer_ready)
        self._progress.awaits_consumer = True
        try:
            await self._wait()
        finally:
            self._progress.awaits_consumer = False

    def _consumer_ready(self, events: int) -> None:
        if events & _LOST:
            self.fail(ConsumerGone())
        elif self._progress.awaits_consumer:
            self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _unreadable() -> UpstreamTruncated:
    return UpstreamTruncated(detail="file: it cannot be read")
