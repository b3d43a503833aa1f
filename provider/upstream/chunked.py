"""Chunked transfer coding undone in place: framed bytes in, payload moved to the front of the same buffer.

RFC 9112 section 7.1. Every line ends with CRLF. A bare LF, which section 2.2 allows in a head, is refused here: two
readers could see two bodies. Extensions and trailers are checked for size and dropped. No I/O here.
"""

import re
from enum import Enum

from provider.errors import UpstreamTruncated

# One chunk-size line with extensions; Go's net/http takes 4 KiB, llhttp and nginx about as much.
MAX_LINE_BYTES = 4096
# The whole trailer section, as the head.
MAX_TRAILER_BYTES = 64 * 1024

# 16 hex digits would pass 2**63.
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
    """Incremental decoder; keeps at most one unfinished line of its own."""

    __slots__ = ("_line", "_state", "_trailer_bytes", "left_in_chunk", "surplus_bytes")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = bytearray()
        self._trailer_bytes = 0
        self.left_in_chunk = 0
        # Bytes after the end of the body: they belong to nobody, and the connection must not be used again.
        self.surplus_bytes = 0

    @property
    def done(self) -> bool:
        """True once the last chunk and the trailer section were seen."""
        return self._state is _State.DONE

    def decode(self, buffer: memoryview, count: int) -> int:
        """Decode the first `count` bytes of `buffer`; returns how many payload bytes stand at its front.

        Raises:
            UpstreamTruncated: the framing is broken, so nobody can tell where the body ends.
        """
        read = written = 0
        while read < count:
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
                break
            elif self._state is _State.BROKEN:
                raise self._broken("read after broken framing")
            else:
                read += self._take_line(buffer[read:count])
        return written

    def skip_data(self, count: int) -> None:
        """`count` bytes of the current chunk's data, at most `left_in_chunk`, were read by somebody else."""
        self.left_in_chunk -= count
        if self.left_in_chunk == 0:
            self._state = _State.DATA_END

    def _take_line(self, view: memoryview) -> int:
        """Consume bytes up to the end of a line, or all; returns how many."""
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
        """What to raise; whoever reads on, as a release does, gets an error again and never an end."""
        self._state = _State.BROKEN
        return UpstreamTruncated(detail=f"origin: {fault}")
