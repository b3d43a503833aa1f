"""The copy path: bytes of a source through one buffer into a sink, for every kind of body.

At most one buffer per stream, and none while the stream waits for its origin.
"""

import asyncio

from provider.streaming.progress import Progress
from provider.streaming.sink import Sink
from provider.upstream.source import Source

# CPU per GB on loopback: 128 KiB +15 %, 192 KiB +10 % against this; it is also all that a stream may hold.
BUFFER_BYTES = 256 * 1024
# A stream that never has to wait lets the others run after so much.
_TURN_BYTES = 4 * 1024 * 1024


class BufferPool:
    """Buffers of one size; keeps at most `max_kept` of those that are not in use. Taking never waits."""

    def __init__(self, *, buffer_bytes: int = BUFFER_BYTES, max_kept: int = 64) -> None:
        self._buffer_bytes = buffer_bytes
        self._max_kept = max_kept
        self._kept: list[memoryview] = []

    def take(self) -> memoryview:
        """A buffer with whatever contents."""
        return self._kept.pop() if self._kept else memoryview(bytearray(self._buffer_bytes))

    def give(self, buffer: memoryview) -> None:
        """Give a buffer back; nobody else may hold a view of it."""
        if len(self._kept) < self._max_kept:
            self._kept.append(buffer)

    def __len__(self) -> int:
        return len(self._kept)


async def copy(source: Source, sink: Sink, *, buffers: BufferPool, progress: Progress) -> None:
    """Copy until the body's clean end. Neither side is closed here.

    Raises:
        UpstreamTruncated, UpstreamTimedOut: the origin failed.
        ConsumerGone: the consumer did.
    """
    left_in_turn = _TURN_BYTES
    while True:
        buffer = buffers.take()
        count = source.read_now(buffer)
        while count:
            progress.awaits_consumer = True
            # When this raises, the sink may hold on to the bytes: the buffer must not be given back.
            await sink.write(buffer[:count])
            progress.awaits_consumer = False
            progress.bytes_sent += count
            left_in_turn -= count
            if left_in_turn <= 0:
                left_in_turn = _TURN_BYTES
                await asyncio.sleep(0)
            count = source.read_now(buffer)
        buffers.give(buffer)
        if count == 0:
            return
        await source.wait_ready()
