"""Content codings undone piece by piece, with bounded output per step (RFC 9110 section 8.4.1).

gzip and deflate only. Only readers of contents need this: a consumer gets a coded file as it is stored.
"""

import zlib

from provider.errors import UpstreamTruncated
from provider.upstream.source import Source

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952 section 2.3.1
_DECODED = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
# Coded bytes decompressed from at a time; they stay in memory until their output was taken.
_CODED_BYTES = 32 * 1024


def decoded_coding(codings: list[str]) -> str | None:
    """Name of the coding that can be undone, or None when the body is read as it is.

    `codings`: lower-case members of `Content-Encoding`. A list of several is read as it is.
    """
    applied = [coding for coding in codings if coding != "identity"]
    return _DECODED.get(applied[0]) if len(applied) == 1 else None


class ContentDecoder:
    """Undoes one coding; input that was not used yet is kept, so feed it only when `wants_input`."""

    __slots__ = ("_coding", "_held", "_input", "_members", "_over", "_stream")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._input = b""
        # zlib may hold output although it took all input, when a step was filled to the brim.
        self._held = False
        self._over = False
        self._members = 0

    @property
    def wants_input(self) -> bool:
        """True when nothing more comes out before `feed`."""
        return not self._input and not self._held

    def feed(self, data: bytes) -> None:
        """Give the next coded bytes; only when `wants_input`."""
        starts_member = self._stream is None and self._members > 0
        if starts_member and not _GZIP_MAGIC.startswith(data[:2]):
            self._over = True
        self._input = b"" if self._over else data

    def read(self, buffer: memoryview) -> int:
        """Decoded bytes placed in `buffer`; 0 when more input is wanted.

        Raises:
            UpstreamTruncated: the coded bytes are broken.
        """
        while not self.wants_input:
            if self._stream is None:
                self._stream = zlib.decompressobj(self._window_bits())
            try:
                data = self._stream.decompress(self._input, len(buffer))
            except zlib.error as exc:
                raise UpstreamTruncated(detail="origin: broken content coding") from exc
            self._input = self._stream.unconsumed_tail
            self._held = len(data) == len(buffer)
            if self._stream.eof:
                self._next_member(self._stream.unused_data)
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0

    def finish(self) -> None:
        """The coded bytes are over.

        Raises:
            UpstreamTruncated: in the middle of a coded stream.
        """
        if self._stream is not None:
            raise UpstreamTruncated(detail="origin: content coding ended early")

    def _next_member(self, rest: bytes) -> None:
        """gzip members may follow each other (RFC 1952 section 2.2); padding after the end is ignored, as gzip does."""
        self._members += 1
        self._stream, self._held, self._input = None, False, rest
        if self._coding != "gzip" or not _GZIP_MAGIC.startswith(rest[:2]):
            self._over, self._input = True, b""

    def _window_bits(self) -> int:
        if self._coding == "gzip":
            return 16 + zlib.MAX_WBITS
        # Some origins send raw deflate data under this name (RFC 9110 section 8.4.1.2, note).
        header = self._input[:2]
        wrapped = header[0] & 0x0F == 8 and (len(header) < 2 or int.from_bytes(header, "big") % 31 == 0)
        return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class Content:
    """The content of a whole answer, its coding undone; of a coding that is not known here, the coded bytes."""

    def __init__(self, source: Source) -> None:
        coding = decoded_coding(source.headers.tokens("Content-Encoding")) if source.length_bytes != 0 else None
        self._source = source
        self._decoder = ContentDecoder(coding) if coding is not None else None
        self._coded = memoryview(bytearray(_CODED_BYTES if coding is not None else 0))

    @property
    def length_bytes(self) -> int | None:
        """None when it is unknown, which the length of coded bytes leaves it."""
        return self._source.length_bytes if self._decoder is None else None

    async def read_into(self, buffer: memoryview) -> int:
        """As `Source.read_into`. Raises UpstreamTruncated also for coded bytes that are broken."""
        if self._decoder is None:
            return await self._source.read_into(buffer)
        while not (count := self._decoder.read(buffer)):
            coded_count = await self._source.read_into(self._coded)
            if coded_count == 0:
                self._decoder.finish()
                return 0
            self._decoder.feed(bytes(self._coded[:coded_count]))
        return count
