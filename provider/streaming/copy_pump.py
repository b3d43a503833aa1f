"""The copy path: bytes of a source through one buffer into a sink, for every kind of body.

A stream holds at most one buffer, and none while it waits for its origin.
"""

import asyncio

from provider.streaming.progress import Progress
from provider.streaming.sink import Sink
from provider.upstream.source import Source

# CPU per GB on loopback, compared with this size: 128 KiB +15 %, 192 KiB +10 %. It is also a stream's memory limit.
BUFFER_BYTES = 256 * 1024
# A stream that never has to wait lets the others run after this many bytes.
_TURN_BYTES = 4 * 1024 * 1024
# A read counts as this many bytes at least: an origin may make each one cost much and bring little.
_LEAST_BYTES = BUFFER_BYTES


class BufferPool:
    """Buffers of one size. Keeps at most `max_kept` unused ones. Taking one never waits."""

    def __init__(self, *, buffer_bytes: int = BUFFER_BYTES, max_kept: int = 64) -> None:
        self._buffer_bytes = buffer_bytes
        self._max_kept = max_kept
        self._kept: list[memoryview] = []

    def take(self) -> memoryview:
        """A buffer with arbitrary contents."""
        return self._kept.pop() if self._kept else memoryview(bytearray(self._buffer_bytes))

    def give(self, buffer: memoryview) -> None:
        """Return a buffer. Nobody else may hold a view of it."""
        if len(self._kept) < self._max_kept:
            self._kept.append(buffer)

    def __len__(self) -> int:
        return len(self._kept)


async def copy(source: Source, sink: Sink, *, buffers: BufferPool, progress: Progress) -> None:
    """Copy up to the clean end of the body. Closes neither side.

    Raises:
        UpstreamTruncated, UpstreamTimedOut: the origin failed.
        ConsumerGone: the consumer left.
    """
    left_in_turn = _TURN_BYTES
    while True:
        buffer = buffers.take()
        count = source.read_now(buffer)
        while count:
            progress.awaits_consumer = True
            # If this raises, the sink may still hold the bytes, so the buffer must not be returned.
            await sink.write(buffer[:count])
            progress.awaits_consumer = False
            progress.add(count)
            left_in_turn -= max(count, _LEAST_BYTES)
            if left_in_turn <= 0:
                left_in_turn = _TURN_BYTES
                await asyncio.sleep(0)
            count = source.read_now(buffer)
        buffers.give(buffer)
        if count == 0:
            return
        await source.wait_ready()
