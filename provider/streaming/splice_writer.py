"""The consumer's end of a spliced transfer: how much its socket accepts, and the bytes that do not pass the pipe.

Those are chunk framing, and body bytes that were read along with the origin's framing.
"""

import os
import socket
import struct

from provider.streaming.pipes import SPLICE_FLAGS, Pipe
from provider.streaming.progress import Progress
from provider.streaming.sink import ConsumerGone, RawConsumer

# asm-generic/socket.h and linux/sock_diag.h: SO_MEMINFO returns nine u32; SK_MEMINFO_SNDBUF is the fourth and
# SK_MEMINFO_WMEM_QUEUED the sixth of them.
_SO_MEMINFO = 55
_MEMINFO_BYTES = 36
_SEND_BUFFER_AND_QUEUED = struct.Struct("=12xI4xI12x")


class SpliceWriter:
    """Writes one reply's body to the consumer's socket. Never waits. Counts accepted bytes in `progress`."""

    __slots__ = ("_body_bytes", "_open_chunk", "_prefix", "_progress", "_socket", "chunked", "waiting")

    def __init__(self, consumer: RawConsumer, progress: Progress) -> None:
        self._socket, self.chunked, self._progress = consumer.socket, consumer.chunked, progress
        # Framing and copied bytes to send before anything else, and how many of them are body.
        self.waiting: bytes | memoryview = b""
        self._body_bytes = 0
        # Body bytes that arrived with framing. They leave with the next splice.
        self._prefix = b""
        # A chunk to the consumer still lacks its CRLF, which leaves with the head of the next chunk.
        self._open_chunk = False

    @property
    def descriptor(self) -> int:
        """Descriptor of the socket. Raises ConsumerGone."""
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise ConsumerGone
        return descriptor

    @property
    def holds(self) -> bool:
        """True if body bytes wait for the next splice."""
        return bool(self._prefix)

    def room_bytes(self, otherwise: int) -> int:
        """Bytes that the socket accepts before it is full; `otherwise` if the system does not report it.

        With this, a pipe is almost always emptied in the turn that filled it, so a stalled consumer holds none.
        """
        try:
            info = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES)
        except OSError as exc:
            if self._socket.fileno() < 0:
                raise ConsumerGone from exc
            return otherwise
        limit, queued = _SEND_BUFFER_AND_QUEUED.unpack(info)
        return int(limit - queued)

    def splice(self, pipe: Pipe, count_bytes: int) -> int | None:
        """Splice up to `count_bytes` from the pipe. Returns the accepted number; None if nothing is accepted now."""
        try:
            count = os.splice(pipe.sink, self._socket.fileno(), count_bytes, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise ConsumerGone from exc
        self._progress.add(count)
        return count

    def send(self, data: memoryview) -> int:
        """Send body bytes from memory. `waiting` must be empty. Returns the accepted number."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise ConsumerGone from exc
        self._progress.add(sent)
        return sent

    def flush(self, *, more: bool) -> bool:
        """Send the waiting bytes; `more`: others follow at once. False if not all are accepted now."""
        try:
            sent = self._socket.send(self.waiting, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise ConsumerGone from exc
        if sent < len(self.waiting):
            self.waiting = memoryview(self.waiting)[sent:]
            return False
        self._progress.add(self._body_bytes)
        self.waiting, self._body_bytes = b"", 0
        return True

    def hold(self, data: bytes) -> None:
        """Keep body bytes for the next splice."""
        self._prefix += data

    def queue(self, spliced_bytes: int) -> None:
        """Queue the held bytes before those in the pipe, with the head of the chunk that both form."""
        data, self._prefix = self._prefix, b""
        self.waiting, self._body_bytes = data, len(data)
        if self.chunked:
            end = b"\r\n" if self._open_chunk else b""
            self.waiting = b"%b%x\r\n%b" % (end, len(data) + spliced_bytes, data)
            self._open_chunk = True

    def settle(self) -> bool:
        """Queue the held bytes before a wait or the end. False if there were none."""
        if self._prefix:
            self.queue(0)
        if self._open_chunk:
            self.waiting = bytes(self.waiting) + b"\r\n"
            self._open_chunk = False
        return bool(self.waiting)
