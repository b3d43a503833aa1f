"""The body of one answer: reads of a connection in, payload bytes out, framing undone; a content coding stays.

Never waits: a read gives bytes, 0 at the clean end, or None for "nothing yet".
"""

from provider.errors import UpstreamTruncated
from provider.upstream.chunked import ChunkedDecoder
from provider.upstream.connection import Connection
from provider.upstream.response_head import ResponseHead

# A body that ends with the connection has no other bound.
_UNBOUNDED = 1 << 62
_NOTHING = memoryview(b"")


class Body:
    """Reads one body. `ahead` are bytes of it that came along with the head."""

    __slots__ = ("_ahead", "_chunks", "_connection", "_due", "_ended", "_framing", "_left")

    def __init__(self, connection: Connection, head: ResponseHead, ahead: bytes) -> None:
        self._connection = connection
        self._framing = head.framing
        self._left = head.length_bytes or 0
        self._chunks = ChunkedDecoder()
        self._ahead = memoryview(ahead) if ahead else _NOTHING
        self._ended = head.framing == "length" and self._left == 0
        # Bytes that chunks still have to bring; None when they alone tell how many there are.
        self._due: int | None = None

    def expect(self, count_bytes: int) -> None:
        """As `Source.expect`."""
        if self._framing == "chunked":
            self._due = count_bytes
        else:
            self._framing, self._left = "length", count_bytes
            self._ended = count_bytes == 0

    @property
    def ended(self) -> bool:
        """True once the framing's end was read."""
        return self._ended

    @property
    def leaves_clean_connection(self) -> bool:
        """True when the body was read to its end and not a byte more came with it."""
        return self._ended and not self._ahead and not self._chunks.surplus_bytes

    @property
    def ready_bytes(self) -> int:
        """Framed bytes in memory."""
        return len(self._ahead) if not self._ended else 0

    @property
    def is_raw(self) -> bool:
        """True when the bytes on the socket are the bytes of the body, framing apart."""
        return not self._connection.is_tls

    @property
    def contiguous_bytes(self) -> int:
        """As `Source.contiguous_bytes`."""
        if self._ahead or self._ended:
            return 0
        if self._framing == "length":
            return self._left
        if self._framing == "close":
            return _UNBOUNDED
        return self._chunks.left_in_chunk if self._due is None else min(self._chunks.left_in_chunk, self._due)

    def read_now(self, buffer: memoryview) -> int | None:
        """As `Source.read_now`."""
        if self._ended:
            return 0
        if self._framing == "length":
            return self._read_length(buffer)
        count = self._read_raw(buffer)
        if self._framing == "close":
            self._ended = count == 0
            return count
        if count == 0:
            raise UpstreamTruncated(detail="origin: closed before the last chunk")
        if count is None:
            return None
        payload = self._chunks.decode(buffer, count)
        self._ended = self._chunks.done
        if self._due is not None:
            self._count(self._due - payload)
        return payload or (0 if self._ended else None)

    def advance(self, count: int) -> None:
        """As `Source.advance`."""
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
            raise UpstreamTruncated(detail="origin: the chunks are not of the length that was announced")

    def _read_length(self, buffer: memoryview) -> int | None:
        # Asking for no more than the rest keeps what follows the body away from the consumer.
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
            # An empty view would keep all the bytes in memory as long as the stream lasts.
            self._ahead = self._ahead[count:] if count < len(self._ahead) else _NOTHING
            return count
        try:
            return self._connection.recv_now(buffer)
        except OSError as exc:
            raise UpstreamTruncated(detail="origin: connection lost in the body") from exc
