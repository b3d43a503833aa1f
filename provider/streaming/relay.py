"""Streams a source's body to the consumer and reports the outcome, including which side failed.

A short body never ends cleanly. The caller decides status and headers.
"""

import asyncio
import math
import os
import select
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Literal

from provider.errors import UpstreamError, UpstreamTimedOut, UpstreamTooShort
from provider.streaming.copy_pump import BufferPool, copy
from provider.streaming.file_pump import FilePump
from provider.streaming.pipes import PipePool
from provider.streaming.progress import Progress, StallWatch
from provider.streaming.resume import Reopen, Resumer, Resuming
from provider.streaming.sink import ConsumerGone, Fields, Sink
from provider.streaming.splice_pump import SplicePump
from provider.upstream.disk import Disk
from provider.upstream.source import Source

Outcome = Literal["complete", "upstream_truncated", "upstream_timed_out", "consumer_gone", "consumer_stalled"]
Path = Literal["splice", "sendfile", "copy"]

# Bodies with fewer bytes left are copied. At 128 KiB both paths cost the same; splicing saves 8 % of a request's CPU at
# 256 KiB and 40 % at 1 MiB. Below 128 KiB a copy needs no second look at its sockets.
SPLICE_FROM_BYTES = SENDFILE_FROM_BYTES = 128 << 10
_CAN_SENDFILE = hasattr(os, "sendfile") and hasattr(os, "RWF_NOWAIT") and hasattr(select, "epoll")


@dataclass(frozen=True, slots=True)
class Relayed:
    """How a relay ended.

    `upstream_*` outcomes are the origin's fault; `consumer_*` outcomes are the consumer's.

    Attributes:
        bytes_sent: body bytes passed to the consumer's connection.
        path: "splice" if bytes of the body went from socket to socket without a copy, "sendfile" if they went from a
            file to the socket without one.
        resumes: number of times that the origin was lost in the body and a new request brought the rest.
        cached_bytes: those of the bytes that lay in a cache.
    """

    bytes_sent: int
    outcome: Outcome
    path: Path
    resumes: int = 0
    cached_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StreamEngine:
    """Relays bodies. All streams of a process share one, with its buffers and pipes.

    Attributes:
        idle_timeout_seconds: longest time in which a consumer takes nothing. A source has its own limit.
        max_resumes: attempts to continue one body after its origin was lost; 0 for none.
        buffers: memory for the copy path.
        pipes: pipes for the splice path.
        disk: reads local files.
    """

    idle_timeout_seconds: float
    max_resumes: int = 0
    buffers: BufferPool = field(default_factory=BufferPool)
    pipes: PipePool = field(default_factory=PipePool)
    disk: Disk = field(default_factory=Disk)

    def relay(
        self,
        source: Source,
        sink: Sink,
        fields: Fields,
        *,
        status: int,
        progress: Progress | None = None,
        reopen: Reopen | None = None,
    ) -> Coroutine[None, None, Relayed]:
        """Send `status`, `fields` and the body. Both sides are finished or closed on return.

        If the source breaks before the head went out, an exception is raised, so that it can still become a reply.
        After that every end is an outcome.

        Args:
            source: the open answer.
            sink: the reply.
            fields: header fields of the reply.
            status: status of the reply.
            progress: figures that may be read during the transfer.
            reopen: asks for the rest if the origin is lost in the body. None: end there.

        Raises:
            UpstreamTruncated: the body broke at its first byte; nothing was sent.
        """
        resuming = Resuming(reopen, self.max_resumes) if reopen is not None and self.max_resumes else None
        return _Relay(self, source, sink, progress or Progress(), resuming=resuming, head=(status, fields)).run()


class _Relay:
    """One run. Remembers which side ended it first, since closing one side makes the other fail too.

    A stream may last for hours, and there may be thousands. So a run keeps no head of either side.
    """

    __slots__ = (
        "_cached_bytes", "_engine", "_first", "_head", "_length_bytes", "_lost", "_opening", "_path", "_progress",
        "_pump", "_resumer", "_resuming", "_sink", "_source",
    )  # fmt: skip

    def __init__(
        self,
        engine: StreamEngine,
        source: Source,
        sink: Sink,
        progress: Progress,
        *,
        resuming: Resuming | None,
        head: tuple[int, Fields],
    ) -> None:
        self._engine, self._source, self._sink = engine, source, sink
        self._length_bytes = source.length_bytes
        self._progress, self._resuming = progress, resuming
        self._resumer: Resumer | None = None
        self._opening: asyncio.Task[bool] | None = None
        self._head: tuple[int, Fields] | None = head
        self._first = b""
        self._pump: SplicePump | FilePump | None = None
        self._path: Path = "copy"
        # Of sources that were lost.
        self._cached_bytes = 0
        self._lost: Literal["consumer_gone", "consumer_stalled"] | None = None

    async def run(self) -> Relayed:
        source, sink = self._source, self._sink
        try:
            self._first = self._first_bytes()
        except BaseException:
            source.close()
            raise
        watch = StallWatch(
            sink,
            self._progress,
            consumer_idle_seconds=self._engine.idle_timeout_seconds,
            origin_idle_seconds=source.idle_timeout_seconds,
            on_consumer_stall=self._consumer_stalled,
            on_origin_stall=self._origin_stalled,
        )
        try:
            sink.on_gone(self._consumer_gone)
            outcome = await self._move()
        except BaseException:
            sink.abort()
            self._source.close()
            raise
        finally:
            watch.stop()
            sink.on_gone(None)
        if outcome != "complete":
            sink.abort()
            self._source.close()
        resumes = self._resumer.resumes if self._resumer is not None else 0
        cached_bytes = self._cached_bytes + self._source.cached_bytes
        return Relayed(self._progress.bytes_sent, outcome, self._path, resumes, cached_bytes)

    def _first_bytes(self) -> bytes:
        """Body bytes that arrived with the head. Sent together with ours, they save a small file a second write."""
        if not self._source.ready_bytes:
            return b""
        buffer = self._engine.buffers.take()
        count = self._source.read_now(buffer) or 0
        first = bytes(buffer[:count])
        self._engine.buffers.give(buffer)
        return first

    def _start(self) -> Coroutine[None, None, None]:
        """Send the head. Neither it nor the first bytes are kept."""
        assert self._head is not None  # noqa: S101 - it is sent once
        (status, fields), self._head = self._head, None
        return self._sink.start(status, fields, memoryview(self._first))

    async def _move(self) -> Outcome:
        progress = self._progress
        try:
            progress.awaits_consumer = True
            await self._start()
            progress.awaits_consumer = False
            progress.add(len(self._first))
            came_with_head = bool(self._first) and self._left_bytes() <= 0
            self._first = b""
            while not came_with_head and not await self._body_ended():
                pass
            # Free the origin's connection for others before the last bytes have left ours.
            self._source.release()
            await self._finish()
        except ConsumerGone:
            return self._lost or "consumer_gone"
        except UpstreamTimedOut:
            return self._lost or "upstream_timed_out"
        except UpstreamError:
            return self._lost or "upstream_truncated"
        return "complete"

    async def _body_ended(self) -> bool:
        """Move what the source has. True at the end of the body, False if another source has the rest."""
        pump = self._file_pump() or self._splice_pump()
        try:
            if pump is None:
                self._progress.path = "copy"
                await copy(self._source, self._sink, buffers=self._engine.buffers, progress=self._progress)
            else:
                self._forget_head()
                sent_before = self._begin(pump)
                try:
                    await pump.run()
                finally:
                    self._count(pump, sent_before)
        except UpstreamTooShort:
            raise
        except UpstreamError:
            if self._lost is not None or not await self._resumed():
                raise
            return False
        return True

    def _forget_head(self) -> None:
        """Drop the origin's head, but for what resuming needs of it."""
        self._note_version()
        self._source.forget_head()

    def _note_version(self) -> None:
        if self._resuming is not None:
            self._resumer, self._resuming = Resumer(self._source, self._resuming), None

    async def _resumed(self) -> bool:
        """True if another source carries on. Raises ConsumerGone."""
        self._note_version()
        if self._resumer is None:
            return False
        self._source.close()
        self._progress.awaits_consumer = self._progress.awaits_origin = False
        self._opening = asyncio.create_task(self._reopened(self._resumer))
        try:
            carries_on = await self._opening
        except asyncio.CancelledError:
            if self._lost is None:
                raise
            raise ConsumerGone from None
        finally:
            self._opening = None
        if carries_on:
            await self._send_first_bytes()
        return carries_on

    async def _send_first_bytes(self) -> None:
        """Send the bytes that arrived with the head of a further answer. Its socket then holds body only."""
        data = self._first_bytes()
        if data:
            self._progress.awaits_consumer = True
            await self._sink.write(memoryview(data))
            self._progress.awaits_consumer = False
            self._progress.add(len(data))

    async def _reopened(self, resumer: Resumer) -> bool:
        source = await resumer.resume(self._progress.bytes_sent)
        if source is None:
            return False
        self._cached_bytes += self._source.cached_bytes
        # Stored here and not where it is awaited: whoever ends the relay from now on must close this source.
        self._source = source
        return True

    async def _finish(self) -> None:
        try:
            await self._sink.finish()
        except ConsumerGone:
            # A client that has received every announced byte may disconnect before we finish the reply.
            if self._length_bytes is None or self._lost == "consumer_stalled":
                raise

    def _splice_pump(self) -> SplicePump | None:
        """The zero-copy path between sockets, if both sides and the body allow it and it pays."""
        pipes = self._engine.pipes
        if not pipes.usable or self._left_bytes() < SPLICE_FROM_BYTES:
            return None
        origin = self._source.raw_socket()
        consumer = self._sink.raw_consumer() if origin is not None else None
        if origin is None or consumer is None:
            return None
        return SplicePump(self._source, origin, consumer, pipes=pipes, progress=self._progress)

    def _file_pump(self) -> FilePump | None:
        """The zero-copy path from files, likewise. A file system that hides what is in memory is read by threads."""
        if not _CAN_SENDFILE or self._left_bytes() < SENDFILE_FROM_BYTES:
            return None
        place = self._source.raw_file()
        if place is None or not self._engine.disk.tells(place.descriptor):
            return None
        consumer = self._sink.raw_consumer()
        if consumer is None or consumer.chunked:
            return None
        engine = self._engine
        return FilePump(
            self._source, consumer.socket, buffers=engine.buffers, disk=engine.disk, progress=self._progress
        )

    def _left_bytes(self) -> float:
        """Bytes of the body that are still to be sent; infinite if its length is unknown."""
        return math.inf if self._length_bytes is None else self._length_bytes - self._progress.bytes_sent

    def _begin(self, pump: SplicePump | FilePump) -> int:
        """Make it the pump of this run. Returns the bytes that were sent before."""
        self._pump = pump
        self._progress.path = pump.path
        return self._progress.bytes_sent

    def _count(self, pump: SplicePump | FilePump, sent_before: int) -> None:
        """Account for a pump that has ended."""
        self._pump = None
        if pump.zero_copy_bytes:
            self._path = pump.path
        self._sink.advance(self._progress.bytes_sent - sent_before)

    def _consumer_gone(self) -> None:
        self._lose("consumer_gone")

    def _consumer_stalled(self) -> None:
        self._lose("consumer_stalled")
        self._sink.abort()

    def _origin_stalled(self) -> None:
        if self._pump is not None:
            self._pump.fail(UpstreamTimedOut(detail="origin: idle limit passed in the body"))

    def _lose(self, outcome: Literal["consumer_gone", "consumer_stalled"]) -> None:
        if self._lost is None:
            self._lost = outcome
        if self._pump is not None:
            self._pump.fail(ConsumerGone())
        if self._opening is not None:
            self._opening.cancel()
        # This wakes a relay that waits for a silent origin.
        self._source.close()
