"""The consumer's end of a spliced transfer: what its socket takes, and what goes there beside the bytes of a pipe.

That is the framing of chunks, and body bytes that were read along with the origin's framing.
"""

import os
import socket
import struct

from provider.streaming.pipes import SPLICE_FLAGS, Pipe
from provider.streaming.progress import Progress
from provider.streaming.sink import ConsumerGone, RawConsumer

# asm-generic/socket.h and linux/sock_diag.h: SO_MEMINFO gives nine u32, SK_MEMINFO_SNDBUF the fourth and
# SK_MEMINFO_WMEM_QUEUED the sixth of them.
_SO_MEMINFO = 55
_MEMINFO_BYTES = 36
_SEND_BUFFER_AND_QUEUED = struct.Struct("=12xI4xI12x")


class SpliceWriter:
    """One reply's body on its way to the consumer's socket. Never waits; counts in `progress` what was taken."""

    __slots__ = ("_body_bytes", "_open_chunk", "_prefix", "_progress", "_socket", "chunked", "waiting")

    def __init__(self, consumer: RawConsumer, progress: Progress) -> None:
        self._socket, self.chunked, self._progress = consumer.socket, consumer.chunked, progress
        # Framing and copied bytes to send before anything else; how many of them are body.
        self.waiting: bytes | memoryview = b""
        self._body_bytes = 0
        # Body bytes that came along with framing: they leave with what is spliced next.
        self._prefix = b""
        # A chunk to the consumer still lacks its CRLF, which leaves with the next chunk's head.
        self._open_chunk = False

    @property
    def descriptor(self) -> int:
        """The socket's. Raises ConsumerGone."""
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise ConsumerGone
        return descriptor

    @property
    def holds(self) -> bool:
        """Are there body bytes that wait for what is spliced next?"""
        return bool(self._prefix)

    def room_bytes(self, otherwise: int) -> int:
        """Bytes that the socket takes before it is full; `otherwise` where the system does not tell.

        With it a pipe is emptied in the turn that filled it, almost always: a stalled consumer holds none.
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
        """Splice up to `count_bytes` from the pipe; how many were taken, None when nothing is taken now."""
        try:
            count = os.splice(pipe.sink, self._socket.fileno(), count_bytes, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise ConsumerGone from exc
        self._progress.bytes_sent += count
        return count

    def send(self, data: memoryview) -> int:
        """Send body bytes from memory, past `waiting`, which must be empty; how many were taken."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise ConsumerGone from exc
        self._progress.bytes_sent += sent
        return sent

    def flush(self, *, more: bool) -> bool:
        """Send what waits in memory, of which `more` follows at once; False when it is not taken now."""
        try:
            sent = self._socket.send(self.waiting, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise ConsumerGone from exc
        if sent < len(self.waiting):
            self.waiting = memoryview(self.waiting)[sent:]
            return False
        self._progress.bytes_sent += self._body_bytes
        self.waiting, self._body_bytes = b"", 0
        return True

    def hold(self, data: bytes) -> None:
        """Keep body bytes for what is spliced next."""
        self._prefix += data

    def queue(self, spliced_bytes: int) -> None:
        """Put the held bytes, and the head of a chunk of them and of `spliced_bytes`, before what is in the pipe."""
        data, self._prefix = self._prefix, b""
        self.waiting, self._body_bytes = data, len(data)
        if self.chunked:
            end = b"\r\n" if self._open_chunk else b""
            self.waiting = b"%b%x\r\n%b" % (end, len(data) + spliced_bytes, data)
            self._open_chunk = True

    def settle(self) -> bool:
        """Before a wait or the end: queue what was held for the next piece; False when there was nothing."""
        if self._prefix:
            self.queue(0)
        if self._open_chunk:
            self.waiting = bytes(self.waiting) + b"\r\n"
            self._open_chunk = False
        return bool(self.waiting)
