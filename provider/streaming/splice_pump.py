"""The zero-copy path: from a plain origin's socket through a pipe into a plain consumer's socket, not via user space.

One state machine per transfer, driven by epoll events: no task or future per piece. It waits for one side at a time.
It copies bytes if splicing does not pay (small chunks) and, by peeking, while no pipe is available.
"""

import asyncio
import errno
import os
import select
import socket
from typing import Literal

from provider.errors import UpstreamError, UpstreamTruncated
from provider.streaming.epoll_watcher import loop_watcher
from provider.streaming.pipes import SPLICE_FLAGS, Pipe, PipePool
from provider.streaming.progress import Progress
from provider.streaming.sink import ConsumerGone, RawConsumer
from provider.streaming.slow_lines import SlowLine
from provider.streaming.splice_writer import SpliceWriter
from provider.upstream.source import Source

# A stream that never has to wait lets the others run after this many bytes (about half a millisecond). 4 MiB cost no
# less CPU, 1 MiB cost 3 % more.
TURN_BYTES = 2 << 20
# Smaller chunks of an origin are decoded many at a time from one read. CPU per GB in chunks of 16 KiB: 1.25 s against
# 1.72 s spliced; of 64 KiB: 0.81 against 0.88; of 128 KiB: 0.91 against 0.58.
MIN_RUN_BYTES = 96 << 10
# If the consumer's socket has less room than this, wait until a third of it is free.
_MIN_ROOM_BYTES = 128 << 10
# The least that the consumer's socket accepts once it reports room.
_LEAST_BYTES = 4096
_COPY_BYTES = 256 << 10
# In pieces of 1448 bytes, as on an ordinary network, 370 KB fill the 256 slots of a pipe. Less means: nothing was left.
DRAINED_BELOW = 256 << 10
_FRAMED_BYTES = 64 << 10
# A chunk-size line and the end of the chunk before it. Little payload is read along.
_FRAMING_BYTES = 24

# Refusals by the kernel or a sandbox, before any byte moved.
_NO_SPLICE = frozenset((errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP))

if hasattr(select, "epoll"):
    _LOST = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    _CONSUMER_EVENTS = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

# Shared by all streams: filled and emptied within a single call, on the loop's thread.
_scratch = memoryview(bytearray(_COPY_BYTES))


class SplicePump:
    """Moves one body. Call `run` once; `fail` ends it from outside."""

    __slots__ = (
        "_bulk",
        "_consumer_watched",
        "_done",
        "_drained",
        "_error",
        "_finished",
        "_held",
        "_later",
        "_line",
        "_loop",
        "_origin",
        "_origin_armed",
        "_origin_watched",
        "_pipe",
        "_pipes",
        "_progress",
        "_source",
        "_watcher",
        "_woken",
        "_writer",
        "zero_copy_bytes",
    )  # fmt: skip

    path: Literal["splice"] = "splice"

    def __init__(
        self, source: Source, origin: socket.socket, consumer: RawConsumer, *, pipes: PipePool, progress: Progress
    ) -> None:
        """`origin`: the source's `raw_socket()`."""
        self._source, self._origin = source, origin
        self._writer = SpliceWriter(consumer, progress)
        self._pipes, self._progress = pipes, progress
        self._loop = asyncio.get_running_loop()
        self._line = SlowLine(consumer.socket, accepted=progress.bytes_sent, now=self._loop.time())
        self._watcher = loop_watcher()
        self._pipe: Pipe | None = None
        # Body bytes that passed through a pipe, and body bytes in the pipe now.
        self.zero_copy_bytes = self._held = 0
        # The next bytes are worth a splice.
        self._bulk = source.framing != "chunked" or source.contiguous_bytes >= MIN_RUN_BYTES
        # The descriptors in `_watcher`, -1 for none. Their sockets may be closed from outside at any time.
        self._origin_watched = self._consumer_watched = -1
        self._origin_armed = self._woken = self._drained = False
        self._later: asyncio.Handle | None = None
        self._finished: asyncio.Future[None] | None = None
        self._done = False
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Move everything up to the clean end of the body. Closes neither side.

        Raises:
            UpstreamTruncated, ConsumerGone: that side failed.
            The error passed to `fail`.
        """
        self._pump()
        if not self._done:
            self._finished = self._loop.create_future()
            try:
                await self._finished
            finally:
                self._end(None)
        # Drop every reference to the error: its traceback holds this frame, and so whoever holds the error.
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def fail(self, error: Exception) -> None:
        """End the transfer: `run` raises `error`. Call this before either socket is closed."""
        self._end(error)

    def _pump(self) -> None:
        self._later = None
        try:
            self._turn()
        except (UpstreamError, ConsumerGone) as error:
            self._end(error)
        except BaseException as error:
            # Nothing else would end this transfer.
            self._end(error)
            raise

    def _turn(self) -> None:
        progress, writer = self._progress, self._writer
        limit = progress.bytes_sent + TURN_BYTES
        while True:
            if writer.waiting and not writer.flush(more=self._held > 0):
                return self._await_consumer()
            if self._held and self._pipe is not None:
                if not self._drain(self._pipe):
                    return self._await_consumer()
            elif progress.bytes_sent >= limit:
                self._later = self._loop.call_soon(self._pump)
                return None
            elif not self._fill():
                return None

    def _drain(self, pipe: Pipe) -> bool:
        """Splice from the pipe to the consumer. False if it accepts nothing now."""
        count = self._writer.splice(pipe, self._held)
        if count is None:
            return False
        self._held -= count
        return True

    def _fill(self) -> bool:
        """Prepare the next piece. False if a wait began or the transfer ended."""
        run = self._source.contiguous_bytes
        if not run or not self._bulk:
            return self._fill_framed(_FRAMING_BYTES if self._bulk else _FRAMED_BYTES, hold=True)
        if self._drained:
            self._drained = False
            return self._await_origin()
        want = min(run, self._pipes.pipe_bytes)
        room = min(self._writer.room_bytes(want), self._line.room_bytes(self._progress.bytes_sent))
        if room < want:
            if room < _MIN_ROOM_BYTES and not self._woken:
                self._await_consumer()
                return False
            want = max(room, _LEAST_BYTES)
        self._woken = False
        pipe = self._pipe = self._pipe or self._pipes.take()
        want = min(want, run)
        return self._fill_peeked(want) if pipe is None else self._fill_pipe(pipe, want)

    def _fill_pipe(self, pipe: Pipe, want: int) -> bool:
        """Splice up to `want` bytes from the origin into an empty pipe."""
        try:
            count = os.splice(self._origin.fileno(), pipe.source, want, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return self._await_origin()
        except OSError as exc:
            if exc.errno in _NO_SPLICE and not self.zero_copy_bytes:
                self._release_pipe()
                self._pipes.disable()
                return True
            raise UpstreamTruncated(detail="origin: connection lost in the body") from exc
        if count == 0:
            return self._fill_framed(_FRAMING_BYTES, hold=False)
        self._source.advance(count)
        self._held = count
        self.zero_copy_bytes += count
        # Fewer bytes than requested, and too few to have filled the pipe: the origin's socket is empty, and reading
        # again at once would bring little or nothing.
        self._drained = count < min(want, DRAINED_BELOW)
        if self._writer.chunked or self._writer.holds:
            self._writer.queue(count)
        return True

    def _fill_framed(self, size_bytes: int, *, hold: bool) -> bool:
        """Read framing and body bytes as the source decodes them. `hold` them if a splice follows."""
        source = self._source
        count = source.read_now(_scratch[:size_bytes])
        if count == 0:
            if self._writer.settle():
                return True
            self._end(None)
            return False
        run = source.contiguous_bytes
        if run:
            self._bulk = source.framing != "chunked" or run >= MIN_RUN_BYTES
        bulk_follows = run > 0 and self._bulk
        if count is None and source.ready_bytes:
            self._later = self._loop.call_soon(self._pump)
            return False
        if count is None:
            return bulk_follows or self._await_origin()
        self._writer.hold(bytes(_scratch[:count]))
        if not (hold and bulk_follows):
            self._writer.queue(0)
        return True

    def _fill_peeked(self, want: int) -> bool:
        """Without a pipe: send the bytes in the origin's socket, then remove only what was sent."""
        if self._writer.chunked:
            return self._fill_framed(_FRAMED_BYTES, hold=False)
        if self._writer.holds:
            self._writer.queue(0)
            return True
        try:
            count = self._origin.recv_into(_scratch, min(want, _COPY_BYTES), socket.MSG_PEEK)
        except BlockingIOError:
            return self._await_origin()
        except OSError as exc:
            raise UpstreamTruncated(detail="origin: connection lost in the body") from exc
        if count == 0:
            return self._fill_framed(_FRAMING_BYTES, hold=False)
        sent = self._writer.send(_scratch[:count])
        if sent:
            # The kernel discards them without a copy (tcp(7), MSG_TRUNC).
            self._origin.recv_into(_scratch, sent, socket.MSG_TRUNC)
            self._source.advance(sent)
        if sent < count:
            self._await_consumer()
            return False
        return True

    def _await_origin(self) -> bool:
        """Wait until the origin has sent something. True if other bytes must be sent first."""
        if self._writer.settle():
            return True
        self._release_pipe()
        if not self._origin_armed:
            self._origin_armed = True
            self._watch_origin(select.EPOLLIN)
        if self._consumer_watched < 0:
            self._watch_consumer()
        self._progress.awaits_origin = True
        return False

    def _await_consumer(self) -> None:
        if not self._held:
            self._release_pipe()
        if self._origin_armed:
            # Its bytes would be reported again and again. Its end is reported once, and a read then finds it.
            self._origin_armed = False
            self._watch_origin(select.EPOLLET)
        self._line.begin_wait()
        self._watch_consumer()
        self._progress.awaits_consumer = True

    def _watch_origin(self, events: int) -> None:
        self._origin_watched = self._origin.fileno()
        if self._origin_watched < 0:
            raise UpstreamTruncated(detail="origin: connection closed in the body")
        self._watcher.watch(self._origin_watched, events, self._origin_ready)

    def _watch_consumer(self) -> None:
        # Edge-triggered: nothing to undo after the wait. Each call makes the kernel check the room of this moment.
        self._consumer_watched = self._writer.descriptor
        self._watcher.watch(self._consumer_watched, _CONSUMER_EVENTS, self._consumer_ready)

    def _origin_ready(self, _: int) -> None:
        if self._progress.awaits_origin:
            self._progress.awaits_origin = False
            self._pump()

    def _consumer_ready(self, events: int) -> None:
        if events & _LOST:
            self._end(ConsumerGone())
        elif self._progress.awaits_consumer:
            self._progress.awaits_consumer = False
            self._woken = True
            self._line.end_wait(self._progress.bytes_sent, self._loop.time())
            self._pump()

    def _release_pipe(self) -> None:
        """Return the pipe, or close it if bytes are left in it."""
        if self._pipe is not None:
            if self._held:
                self._pipes.drop(self._pipe)
            else:
                self._pipes.give(self._pipe)
            self._pipe = None

    def _end(self, error: BaseException | None) -> None:
        if self._done:
            return
        self._done, self._error = True, error
        self._line.leave()
        self._watcher.forget(self._origin_watched, self._origin_ready)
        self._watcher.forget(self._consumer_watched, self._consumer_ready)
        if self._later is not None:
            self._later.cancel()
        self._release_pipe()
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)
