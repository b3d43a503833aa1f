"""Optional limits of streams: how many a consumer may have at once, and how fast they go. Per worker process; with
leases their number is counted over all hosts.

The kernel paces each connection (SO_MAX_PACING_RATE), so a limit costs nothing per byte and holds on every path.
"""

import socket
from typing import Protocol

from provider.errors import TooManyStreams
from provider.streaming.config import StreamConfig

# asm-generic/socket.h; Python has no name for it. A 32-bit value in bytes per second; all ones mean no limit.
SO_MAX_PACING_RATE = 47
MAX_RATE = 0xFFFFFFFE


class Paced(Protocol):
    """A stream whose speed can be set."""

    def pace(self, bytes_per_second: int) -> None:
        """At most so many bytes per second from here on."""


def pace_socket(connection: socket.socket, bytes_per_second: int) -> None:
    """Set the pacing rate of a TCP connection (Linux; elsewhere nothing happens)."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, bytes_per_second.to_bytes(4, "little"))
    except OSError:
        return


class Leases(Protocol):
    """Streams of a consumer over all hosts; `provider.redis.leases` has them."""

    async def acquire(self, consumer: str) -> str | None:
        """A lease, or None where nobody can count now. Raises TooManyStreams."""
        ...

    def release(self, consumer: str, lease: str) -> None:
        """The stream ended."""
        ...


class StreamSlot:
    """One admitted stream of a consumer; `begin` once its connection is known."""

    def __init__(self, limits: "StreamLimits", consumer: str) -> None:
        self._limits = limits
        self.consumer = consumer
        self.stream: Paced | None = None
        self.lease: str | None = None

    def begin(self, stream: Paced) -> None:
        """The stream starts; from here on its speed is kept."""
        self.stream = stream
        self._limits.share_out(self.consumer)

    def __enter__(self) -> "StreamSlot":
        return self

    def __exit__(self, *_: object) -> None:
        self._limits.leave(self)


class StreamLimits:
    """Admits streams and shares a consumer's rate among them. 0 stands for no limit, everywhere."""

    def __init__(self, config: StreamConfig, *, leases: Leases | None = None) -> None:
        self._max_streams = config.max_streams_per_consumer
        self._per_stream = config.max_bytes_per_second_per_stream
        self._per_consumer = config.max_bytes_per_second_per_consumer
        self._slots: dict[str, list[StreamSlot]] = {}
        self.leases = leases
        """Counts over all hosts; None where each worker counts for itself."""

    @property
    def paces(self) -> bool:
        """Is there a limit of speed at all?"""
        return bool(self._per_stream or self._per_consumer)

    def admitted(self, consumer: str) -> StreamSlot:
        """A slot for one more stream of `consumer` (checksummed address), to be left. Raises TooManyStreams."""
        slots = self._slots.setdefault(consumer, [])
        if self._max_streams and len(slots) >= self._max_streams:
            raise TooManyStreams
        slot = StreamSlot(self, consumer)
        slots.append(slot)
        return slot

    def share_out(self, consumer: str) -> None:
        """Give each running stream of `consumer` its part of the rate."""
        if not self.paces:
            return
        running = [slot.stream for slot in self._slots.get(consumer, ()) if slot.stream is not None]
        for stream in running:
            stream.pace(self.rate(len(running)))

    def rate(self, streams: int) -> int:
        """Bytes per second of each of a consumer's `streams`."""
        rates = [MAX_RATE]
        if self._per_stream:
            rates.append(self._per_stream)
        if self._per_consumer:
            rates.append(max(1, self._per_consumer // streams))
        return min(rates)

    async def count_everywhere(self, slot: StreamSlot) -> None:
        """Count an admitted stream over all hosts too, where that is done. Raises TooManyStreams."""
        if self.leases is not None:
            slot.lease = await self.leases.acquire(slot.consumer)

    def leave(self, slot: StreamSlot) -> None:
        """The stream has ended."""
        if slot.lease is not None and self.leases is not None:
            self.leases.release(slot.consumer, slot.lease)
        slots = self._slots[slot.consumer]
        slots.remove(slot)
        if not slots:
            del self._slots[slot.consumer]
        # The ended stream keeps its pace: megabytes of it may still lie in the kernel. The next on its connection gets
        # a pace of its own.
        self.share_out(slot.consumer)
