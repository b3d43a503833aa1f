"""A `Source` with its whole body in memory, such as the result of a contract call. Its methods never wait."""

import hashlib
import socket

from provider.errors import UpstreamTruncated
from provider.override import override
from provider.upstream.ranges import select_range
from provider.upstream.source import Framing, Headers, Source
from provider.upstream.wish import NO_WISH, Wish

# The body is here, so only the consumer's time limits matter.
_NEVER_SECONDS = 86_400.0


class MemorySource(Source):
    """The `Source` of `body`, or of the part that `wish` asks for. Its entity tag is a digest of the whole body."""

    __slots__ = ("_body", "_closed", "_read", "headers", "status")

    status: int
    headers: Headers
    framing: Framing = "length"
    final_url_path = ""
    idle_timeout_seconds = _NEVER_SECONDS
    contiguous_bytes = 0

    def __init__(self, body: bytes, *, content_type: str, wish: Wish = NO_WISH) -> None:
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        fields = [("Content-Type", content_type), ("ETag", tag), ("Accept-Ranges", "bytes")]
        part = select_range(wish.ranges if wish.version_holds(Headers(fields)) else None, len(body))
        if part.status != 200:
            fields.append(("Content-Range", part.content_range))
        self.status = part.status
        self._body = memoryview(body)[part.first : part.first + part.count]
        self._read = 0
        self._closed = False
        self.headers = Headers(fields)

    @property
    @override
    def length_bytes(self) -> int:
        return len(self._body)

    @override
    def expect(self, count_bytes: int) -> None:
        pass

    @property
    @override
    def ready_bytes(self) -> int:
        return 0 if self._closed else len(self._body) - self._read

    @override
    def read_now(self, buffer: memoryview) -> int:
        if self._closed:
            raise UpstreamTruncated(detail="closed by us")
        part = self._body[self._read : self._read + len(buffer)]
        buffer[: len(part)] = part
        self._read += len(part)
        return len(part)

    @override
    async def wait_ready(self) -> None:
        pass

    @override
    async def read_into(self, buffer: memoryview) -> int:
        return self.read_now(buffer)

    @override
    def raw_socket(self) -> socket.socket | None:
        return None

    @override
    def advance(self, count_bytes: int) -> None:
        pass

    @override
    def release(self) -> None:
        self._closed = True

    @override
    def close(self) -> None:
        self._closed = True
