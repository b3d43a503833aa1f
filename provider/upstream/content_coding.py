"""Decodes content codings (gzip, deflate) in steps of bounded size (RFC 9110 section 8.4.1).

Only code that reads the content needs this, such as a checksum. A consumer gets a coded file as it is stored.
"""

import asyncio
import zlib

from provider.errors import UpstreamTruncated
from provider.upstream.source import Source

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952 section 2.3.1
_DECODED = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
# Coded bytes per step. They stay in memory until their output was read.
_CODED_BYTES = 32 * 1024
# A reader that never has to wait lets others run after this many bytes. A read counts as so many at least: an origin
# may make it cost much and bring little.
_TURN_BYTES, _LEAST_BYTES = 4 << 20, 256 << 10
# Coded bytes that stand for nothing have an end: empty members and padding could come for ever. Some are usual.
_MAX_CODED_SHARE, _MAX_VOID_BYTES = 4, 1 << 20


def decoded_coding(codings: list[str]) -> str | None:
    """Name of the coding to undo. None if the body is read as it is, also when several codings were applied.

    `codings`: lower-case members of `Content-Encoding`.
    """
    applied = [coding for coding in codings if coding != "identity"]
    return _DECODED.get(applied[0]) if len(applied) == 1 else None


class ContentDecoder:
    """Decodes one coding. It keeps unused input, so feed it only when `wants_input`."""

    __slots__ = ("_coding", "_held", "_input", "_members", "_over", "_stream")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._input = b""
        # zlib can hold output back although it consumed all input, if the last step filled its buffer.
        self._held = False
        self._over = False
        self._members = 0

    @property
    def wants_input(self) -> bool:
        """True if nothing more comes out before the next `feed`."""
        return not self._input and not self._held

    def feed(self, data: bytes) -> None:
        """Provide the next coded bytes. Only when `wants_input`."""
        starts_member = self._stream is None and self._members > 0
        if starts_member and not _GZIP_MAGIC.startswith(data[:2]):
            self._over = True
        self._input = b"" if self._over else data

    def read(self, buffer: memoryview) -> int:
        """Place decoded bytes in `buffer`. Returns their number, 0 if more input is needed.

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
        """Declare the end of the coded bytes.

        Raises:
            UpstreamTruncated: the coded stream is incomplete.
        """
        if self._stream is not None:
            raise UpstreamTruncated(detail="origin: content coding ended early")

    def _next_member(self, rest: bytes) -> None:
        """Begin the next gzip member (RFC 1952 section 2.2), or ignore padding after the last one, as gzip does."""
        self._members += 1
        self._stream, self._held, self._input = None, False, rest
        if self._coding != "gzip" or not _GZIP_MAGIC.startswith(rest[:2]):
            self._over, self._input = True, b""

    def _window_bits(self) -> int:
        if self._coding == "gzip":
            return 16 + zlib.MAX_WBITS
        # Some origins send raw deflate data under the name `deflate` (RFC 9110 section 8.4.1.2, note).
        header = self._input[:2]
        wrapped = header[0] & 0x0F == 8 and (len(header) < 2 or int.from_bytes(header, "big") % 31 == 0)
        return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class Content:
    """The decoded content of a whole answer. A coding that this module does not know is left in place."""

    def __init__(self, source: Source) -> None:
        coding = decoded_coding(source.headers.tokens("Content-Encoding")) if source.length_bytes != 0 else None
        self._source = source
        self._void_bytes = 0
        self._left_in_turn = _TURN_BYTES
        self._decoder = ContentDecoder(coding) if coding is not None else None
        self._coded = memoryview(bytearray(_CODED_BYTES if coding is not None else 0))

    @property
    def length_bytes(self) -> int | None:
        """Length of the content. None if unknown, as it is for coded content."""
        return self._source.length_bytes if self._decoder is None else None

    async def read_into(self, buffer: memoryview) -> int:
        """Wait for content and place it in `buffer`; 0 at the end. Raises what `Source.read_into` raises.

        Broken coded bytes raise UpstreamTruncated.
        """
        count = await (
            self._source.read_into(buffer) if self._decoder is None else self._decoded(self._decoder, buffer)
        )
        self._left_in_turn -= max(count, _LEAST_BYTES)
        if self._left_in_turn <= 0:
            self._left_in_turn = _TURN_BYTES
            await asyncio.sleep(0)
        return count

    async def _decoded(self, decoder: ContentDecoder, buffer: memoryview) -> int:
        while not (count := decoder.read(buffer)):
            coded_count = await self._source.read_into(self._coded)
            if coded_count == 0:
                decoder.finish()
                return 0
            self._void_bytes += coded_count
            if self._void_bytes > _MAX_VOID_BYTES:
                raise UpstreamTruncated(detail="origin: a content coding that stands for nothing")
            decoder.feed(bytes(self._coded[:coded_count]))
            # Others first: what little the bytes stand for may take long to find.
            await asyncio.sleep(0)
        self._void_bytes = max(0, self._void_bytes - _MAX_CODED_SHARE * count)
        return count
