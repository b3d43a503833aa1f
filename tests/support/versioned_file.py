"""A script for `raw_origin`: one file as a well-kept origin serves it, with a validator, ranges and conditions."""

import asyncio
import hashlib
import math
from dataclasses import dataclass, field

from tests.support.raw_origin import Exchange

_STEP = 64 << 10


@dataclass
class VersionedFile:
    """Serves `content`. All fields may be changed while it serves.

    Attributes:
        tag: its entity tag, "" for none.
        fields: further header lines of every answer with the file.
        has_ranges: False: every answer is the whole file.
        status: other than 0: every answer is this, without the file.
        cut_after: each answer breaks off after this many body bytes.
        gate: body bytes flow while it is set.
        gated_first: only bodies that begin with this byte wait for the gate, None for all.
        hold_at: bodies of more than a byte wait as long as this many bytes were sent.
        distance_seconds: each request is answered after this time.
        most_at_once: greatest number of requests that were answered at once.
    """

    content: bytes
    tag: str = '"v1"'
    fields: bytes = b""
    has_ranges: bool = True
    status: int = 0
    cut_after: int | None = None
    distance_seconds: float = 0.0
    most_at_once: int = 0
    hold_at: float = math.inf
    gated_first: int | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Range and If-None-Match of every request."""
    sent_bytes: int = 0
    _at_once: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def bodies(self) -> list[tuple[str | None, str | None]]:
        """Requests for more than the first byte."""
        return [request for request in self.asked if request[0] != "bytes=0-0"]

    async def __call__(self, exchange: Exchange) -> bool:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(exchange)
        finally:
            self._at_once -= 1

    async def _answer(self, exchange: Exchange) -> bool:
        wanted = exchange.field("Range") if self.has_ranges else None
        if wanted is not None and "," in wanted:
            wanted = None
        condition, content = exchange.field("If-None-Match"), self.content
        self.asked.append((exchange.field("Range"), condition))
        await asyncio.sleep(self.distance_seconds)
        lines = self.fields + (b"ETag: %s\r\n" % self.tag.encode() if self.tag else b"")
        if self.status:
            await exchange.send(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
            return True
        if condition is not None and condition == self.tag:
            await exchange.send(b"HTTP/1.1 304 Not Modified\r\n" + lines + b"\r\n")
            return True
        if wanted is not None and exchange.field("If-Range") in (None, self.tag):
            first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
            first = int(first_text)
            last = min(int(last_text), len(content) - 1) if last_text else len(content) - 1
            lines += b"Content-Range: bytes %d-%d/%d\r\n" % (first, last, len(content))
            status = b"206 Partial Content"
        else:
            first, last, status = 0, len(content) - 1, b"200 OK"
        length = b"Content-Length: %d\r\n" % (last - first + 1)
        await exchange.send(b"HTTP/1.1 " + status + b"\r\n" + lines + length + b"\r\n")
        return await self._send(exchange, memoryview(content)[first : last + 1], first)

    async def _send(self, exchange: Exchange, body: memoryview, first: int) -> bool:
        left = body if self.cut_after is None else body[: self.cut_after]
        while left:
            if self.gated_first in (None, first):
                await self.gate.wait()
            while self.sent_bytes >= self.hold_at and len(body) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            piece, left = left[:_STEP], left[_STEP:]
            await exchange.send(bytes(piece))
            self.sent_bytes += len(piece)
        return self.cut_after is None or self.cut_after >= len(body)
