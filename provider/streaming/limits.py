"""Optional limits on a consumer's streams: how many at once, and how fast. They hold per worker process; with leases
the number is counted over all hosts.

The kernel paces each connection (SO_MAX_PACING_RATE), so a limit costs nothing per byte and works on every path.
"""

import socket
from typing import TYPE_CHECKING

from provider.errors import TooManyStreams
from provider.streaming.config import StreamConfig

if TYPE_CHECKING:
    from provider.http1.sink import TornadoSink
    from provider.redis.leases import StreamLeases

# asm-generic/socket.h; Python has no name for it. A 32-bit value in bytes per second; all ones mean no limit.
SO_MAX_PACING_RATE = 47
MAX_RATE = 0xFFFFFFFE


def pace_socket(connection: socket.socket, bytes_per_second: int) -> None:
    """Set the pacing rate of a TCP connection. Linux only; no effect elsewhere."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, bytes_per_second.to_bytes(4, "little"))
    except OSError:
        return


class StreamSlot:
    """One admitted stream of a consumer. Call `begin` once its connection is known."""

    __slots__ = ("_limits", "consumer", "lease", "stream")

    def __init__(self, limits: "StreamLimits", consumer: str) -> None:
        self._limits = limits
        self.consumer = consumer
        self.stream: TornadoSink | None = None
        self.lease: str | None = None

    def begin(self, stream: "TornadoSink") -> None:
        """Start the stream. Its speed is limited from now on."""
        self.stream = stream
        self._limits.share_out(self.consumer)

    def __enter__(self) -> "StreamSlot":
        return self

    def __exit__(self, *_: object) -> None:
        self._limits.leave(self)


class StreamLimits:
    """Admits streams and shares a consumer's rate among them. 0 means no limit, everywhere."""

    def __init__(self, config: StreamConfig, *, leases: "StreamLeases | None" = None) -> None:
        self._max_streams = config.max_streams_per_consumer
        self._per_stream = config.max_bytes_per_second_per_stream
        self._per_consumer = config.max_bytes_per_second_per_consumer
        # Not lists: with thousands of streams, one would be searched for each stream that ends.
        self._slots: dict[str, dict[StreamSlot, None]] = {}
        self.leases = leases
        """Counts over all hosts; None if each worker counts for itself."""

    @property
    def paces(self) -> bool:
        """True if there is a speed limit."""
        return bool(self._per_stream or self._per_consumer)

    def admitted(self, consumer: str) -> StreamSlot:
        """Admit one more stream of `consumer` (checksummed address) until `leave`. Raises TooManyStreams."""
        slots = self._slots.setdefault(consumer, {})
        if self._max_streams and len(slots) >= self._max_streams:
            raise TooManyStreams
        slot = StreamSlot(self, consumer)
        slots[slot] = None
        return slot

    def share_out(self, consumer: str) -> None:
        """Give each running stream of `consumer` its share of the rate."""
        if not self.paces:
            return
        running = [slot.stream for slot in self._slots.get(consumer, ()) if slot.stream is not None]
        for stream in running:
            stream.pace(self.rate(len(running)))

    def rate(self, streams: int) -> int:
        """Bytes per second for each of a consumer's `streams`."""
        rates = [MAX_RATE]
        if self._per_stream:
            rates.append(self._per_stream)
        if self._per_consumer:
            rates.append(max(1, self._per_consumer // streams))
        return min(rates)

    async def count_everywhere(self, slot: StreamSlot) -> None:
        """Count an admitted stream over all hosts too, if configured. Raises TooManyStreams."""
        if self.leases is not None:
            slot.lease = await self.leases.acquire(slot.consumer)

    def leave(self, slot: StreamSlot) -> None:
        """Record that the stream has ended."""
        if slot.lease is not None and self.leases is not None:
            self.leases.release(slot.consumer, slot.lease)
        slots = self._slots[slot.consumer]
        del slots[slot]
        if not slots:
            del self._slots[slot.consumer]
        # The ended stream keeps its pace, since megabytes of it may still be in the kernel. The next stream on its
        # connection gets a pace of its own.
        self.share_out(slot.consumer)
