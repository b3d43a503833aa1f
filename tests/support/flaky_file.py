"""A script for `raw_origin`: one file with ranges and a validator, on connections that are cut as configured."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.support.raw_origin import Exchange

# No size of a read or a pipe divides it: bytes that are lost, doubled or moved are seen.
_BLOCK = hashlib.shake_256(b"flaky").digest(3_000_017)
_STEP = 1 << 20

Way = Literal["close", "reset", "stall", "in head", "no answer"]


@dataclass
class Cut:
    """One connection: the most body bytes sent on it, and how it is cut then."""

    after: int
    way: Way = "close"


def pieces(first: int, count: int) -> Iterator[memoryview]:
    """Bytes `first` to `first + count` of the file."""
    view = memoryview(_BLOCK)
    while count:
        at = first % len(_BLOCK)
        piece = view[at : at + min(count, _STEP)]
        yield piece
        first, count = first + len(piece), count - len(piece)


def content(first: int, count: int) -> bytes:
    """The same in one."""
    return b"".join(pieces(first, count))


def content_sha256(size: int) -> str:
    """sha256 of a file of `size` bytes, hex."""
    digest = hashlib.sha256()
    for piece in pieces(0, size):
        digest.update(piece)
    return digest.hexdigest()


class FlakyFile:
    """Serves `size` bytes. Each of `cuts` is for one request; later requests are served to the end.

    `fields`: header lines of a 200 and a 206.
    `asked`: Range and If-Range of every request.
    """

    def __init__(self, size: int, *cuts: Cut, fields: bytes = b'ETag: "v1"\r\n') -> None:
        self.size, self.cuts, self.fields = size, list(cuts), fields
        self.asked: list[tuple[str | None, str | None]] = []

    async def __call__(self, exchange: Exchange) -> bool:
        wanted = exchange.field("Range")
        self.asked.append((wanted, exchange.field("If-Range")))
        cut = self.cuts.pop(0) if self.cuts else Cut(self.size)
        first, last = 0, self.size - 1
        if wanted is not None:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end) if end else last
        head = self._head(first, last, partial=wanted is not None)
        if cut.way in ("in head", "no answer"):
            await exchange.send(head[: len(head) // 2] if cut.way == "in head" else b"")
            return False
        await exchange.send(head)
        count = last - first + 1
        for piece in pieces(first, min(cut.after, count)):
            await exchange.send(piece)
        if cut.after < count:
            await self._lose(exchange, cut.way)
        return cut.after >= count

    def _head(self, first: int, last: int, *, partial: bool) -> bytes:
        status = b"206 Partial Content" if partial else b"200 OK"
        part = b"Content-Range: bytes %d-%d/%d\r\n" % (first, last, self.size) if partial else b""
        length = b"Content-Length: %d\r\n" % (last - first + 1)
        return b"HTTP/1.1 " + status + b"\r\nAccept-Ranges: bytes\r\n" + part + length + self.fields + b"\r\n"

    async def _lose(self, exchange: Exchange, way: Way) -> None:
        if way == "reset":
            exchange.reset()
        elif way == "stall":
            await exchange.gone()
