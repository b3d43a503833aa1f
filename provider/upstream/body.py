"""The body of one answer: bytes of a connection in, payload bytes out. A content coding is left in place.

Reads never wait. They return bytes, 0 at the clean end, or None if nothing has arrived yet.
"""

import math
import re
from enum import Enum

from provider.errors import UpstreamTruncated
from provider.upstream.connection import Connection
from provider.upstream.response_head import ResponseHead

# A body that ends with the connection has no limit of its own.
_UNBOUNDED = 1 << 62
_NOTHING = memoryview(b"")
# Lines of chunk framing in one read, which take about a millisecond. An origin may send a chunk for each byte.
_MAX_LINES = 1024


class Body:
    """Reads one body. `ahead`: bytes of the body that arrived together with the head."""

    __slots__ = ("_ahead", "_chunks", "_connection", "_due", "_ended", "_framing", "_is_paused", "_left")

    def __init__(self, connection: Connection, head: ResponseHead, ahead: bytes) -> None:
        self._connection = connection
        self._framing = head.framing
        self._left = head.length_bytes or 0
        self._chunks = ChunkedDecoder(max_lines=_MAX_LINES)
        self._is_paused = False
        self._ahead = memoryview(ahead) if ahead else _NOTHING
        self._ended = head.framing == "length" and self._left == 0
        # Bytes that the chunks must still bring; None if nobody announced a length.
        self._due: int | None = None

    def expect(self, count_bytes: int) -> None:
        """Require exactly `count_bytes` of a body of unknown length. Call it before the first read."""
        if self._framing == "chunked":
            self._due = count_bytes
        else:
            self._framing, self._left = "length", count_bytes
            self._ended = count_bytes == 0

    @property
    def ended(self) -> bool:
        """True once the end of the framing was read."""
        return self._ended

    @property
    def leaves_clean_connection(self) -> bool:
        """True if the body was read to its end and no byte came after it."""
        return self._ended and not self._ahead and not self._chunks.surplus_bytes

    @property
    def ready_bytes(self) -> int:
        """Framed bytes in memory."""
        return len(self._ahead) if not self._ended else 0

    @property
    def is_raw(self) -> bool:
        """True if the socket carries the body's bytes unencrypted (chunk framing aside)."""
        return not self._connection.is_tls

    @property
    def contiguous_bytes(self) -> int:
        """Number of the next bytes on the socket that are body only; 0 while other bytes come first."""
        if self._ahead or self._ended:
            return 0
        if self._framing == "length":
            return self._left
        if self._framing == "close":
            return _UNBOUNDED
        return self._chunks.left_in_chunk if self._due is None else min(self._chunks.left_in_chunk, self._due)

    def read_now(self, buffer: memoryview) -> int | None:
        """Read without waiting: bytes placed in `buffer`, 0 at the clean end, None if nothing has arrived yet.

        Also None after a read that decoded as much framing as one may, although there are `ready_bytes`: the reader
        lets others run before it reads on.
        """
        if self._ended:
            return 0
        if self._framing == "length":
            return self._read_length(buffer)
        if self._is_paused:
            self._is_paused = False
            return None
        ahead = self._ahead
        count = self._read_raw(buffer)
        if self._framing == "close":
            self._ended = count == 0
            return count
        if count == 0:
            raise UpstreamTruncated(detail="origin: closed before the last chunk")
        if count is None:
            return None
        payload = self._chunks.decode(buffer, count)
        left = self._chunks.left_bytes
        if left:
            self._is_paused = True
            self._ahead = ahead[count - left :] if ahead else memoryview(bytes(buffer[count - left : count]))
        self._ended = self._chunks.done
        if self._due is not None:
            self._count(self._due - payload)
        return payload or (0 if self._ended else None)

    def advance(self, count: int) -> None:
        """Record that `count` bytes were read directly from the socket."""
        if self._framing == "length":
            self._left -= count
            self._ended = self._left == 0
        elif self._framing == "chunked":
            self._chunks.skip_data(count)
            if self._due is not None:
                self._due -= count

    def _count(self, due: int) -> None:
        self._due = due
        if due < 0 or (self._ended and due):
            raise UpstreamTruncated(detail="origin: the chunks do not add up to the announced length")

    def _read_length(self, buffer: memoryview) -> int | None:
        # Ask for no more than the rest, so that bytes after the body cannot reach the consumer.
        count = self._read_raw(buffer if len(buffer) <= self._left else buffer[: self._left])
        if count == 0:
            raise UpstreamTruncated(detail="origin: closed before Content-Length was reached")
        if count is not None:
            self._left -= count
            self._ended = self._left == 0
        return count

    def _read_raw(self, buffer: memoryview) -> int | None:
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            # An empty slice would keep the whole buffer alive as long as the stream lasts.
            self._ahead = self._ahead[count:] if count < len(self._ahead) else _NOTHING
            return count
        try:
            return self._connection.recv_now(buffer)
        except OSError as exc:
            raise UpstreamTruncated(detail="origin: connection lost in the body") from exc


# One chunk-size line with extensions. Go's net/http takes 4 KiB, llhttp and nginx about the same.
MAX_LINE_BYTES = 4096
# The whole trailer section; the same limit as for a head.
MAX_TRAILER_BYTES = 64 * 1024

# 16 hex digits could exceed 2**63.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class _State(Enum):
    SIZE = "a chunk-size line follows"
    DATA = "inside chunk data"
    DATA_END = "the CRLF after chunk data follows"
    TRAILER = "trailer lines follow until an empty one"
    DONE = "the last chunk and the trailer were read"
    BROKEN = "the framing broke, so the end will never be found"


class ChunkedDecoder:
    """Decodes chunked transfer coding in place (RFC 9112 section 7.1); keeps at most one unfinished line.

    Every line must end with CRLF. A bare LF, which section 2.2 allows in a head, is refused: two readers could see two
    bodies. Extensions and trailers are checked for size and dropped.

    `max_lines`: lines that one call of `decode` takes.
    """

    __slots__ = ("_line", "_max_lines", "_state", "_trailer_bytes", "left_bytes", "left_in_chunk", "surplus_bytes")

    def __init__(self, *, max_lines: float = math.inf) -> None:
        self._state = _State.SIZE
        self._max_lines = max_lines
        # Bytes at the end of the last call's buffer that were not read, as there were too many lines before them.
        self.left_bytes = 0
        self._line = bytearray()
        self._trailer_bytes = 0
        self.left_in_chunk = 0
        # Bytes after the end of the body. They belong to no answer, so the connection must not be reused.
        self.surplus_bytes = 0

    @property
    def done(self) -> bool:
        """True once the last chunk and the trailer section were read."""
        return self._state is _State.DONE

    def decode(self, buffer: memoryview, count: int) -> int:
        """Decode the first `count` bytes of `buffer`. Returns the number of payload bytes, now at its front.

        Raises:
            UpstreamTruncated: the framing is broken, so the end of the body cannot be known.
        """
        read = written = lines = 0
        while read < count and lines < self._max_lines:
            if self._state is _State.DATA:
                step = min(self.left_in_chunk, count - read)
                if written != read:
                    buffer[written : written + step] = buffer[read : read + step]
                read, written = read + step, written + step
                self.left_in_chunk -= step
                if self.left_in_chunk == 0:
                    self._state = _State.DATA_END
            elif self._state is _State.DONE:
                self.surplus_bytes += count - read
                read = count
            elif self._state is _State.BROKEN:
                raise self._broken("read after broken framing")
            else:
                read += self._take_line(buffer[read:count])
                lines += 1
        self.left_bytes = count - read
        return written

    def skip_data(self, count: int) -> None:
        """Record that someone else read `count` bytes (at most `left_in_chunk`) of the current chunk's data."""
        self.left_in_chunk -= count
        if self.left_in_chunk == 0:
            self._state = _State.DATA_END

    def _take_line(self, view: memoryview) -> int:
        """Consume bytes up to the end of a line, or all of them. Returns how many."""
        window = bytes(view[: MAX_LINE_BYTES + 2 - len(self._line)])
        newline = window.find(b"\n")
        taken = newline + 1 if newline >= 0 else len(window)
        self._line += window[:taken]
        if newline >= 0:
            line = bytes(self._line)
            self._line.clear()
            if not line.endswith(b"\r\n"):
                raise self._broken("bare LF in chunk framing")
            self._end_line(line[:-2])
        elif len(self._line) > MAX_LINE_BYTES:
            raise self._broken("chunk framing line too long")
        return taken

    def _end_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise self._broken("bad chunk size")
            self.left_in_chunk = int(match[1], 16)
            self._state = _State.DATA if self.left_in_chunk else _State.TRAILER
        elif self._state is _State.DATA_END:
            if line:
                raise self._broken("chunk longer than its size")
            self._state = _State.SIZE
        elif line:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_TRAILER_BYTES or not _TRAILER_LINE.fullmatch(line):
                raise self._broken("bad trailer")
        else:
            self._state = _State.DONE

    def _broken(self, fault: str) -> UpstreamTruncated:
        """Mark the framing as broken and make the error. Every later read, such as a release, raises too."""
        self._state = _State.BROKEN
        return UpstreamTruncated(detail=f"origin: {fault}")
