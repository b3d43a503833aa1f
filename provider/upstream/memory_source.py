"""A `Source` whose whole body is in memory: results of contract calls."""

import socket

from provider.errors import UpstreamTruncated
from provider.upstream.source import Framing, Headers

# Nobody waits for what is here; limits of time are the consumer's alone.
_NEVER_SECONDS = 86_400.0


class MemorySource:
    """The `Source` of `body`; the status is 200."""

    __slots__ = ("_body", "_closed", "_read", "headers")

    status = 200
    framing: Framing = "length"
    final_url_path = ""
    unchanged = True
    idle_timeout_seconds = _NEVER_SECONDS
    run_bytes = 0

    def __init__(self, body: bytes, *, content_type: str) -> None:
        self._body = memoryview(body)
        self._read = 0
        self._closed = False
        self.headers = Headers((("Content-Type", content_type),))

    @property
    def length_bytes(self) -> int:
        """As `Source.length_bytes`."""
        return len(self._body)

    @property
    def ready_bytes(self) -> int:
        """As `Source.ready_bytes`."""
        return 0 if self._closed else len(self._body) - self._read

    def read_now(self, buffer: memoryview) -> int:
        """As `Source.read_now`; never None."""
        if self._closed:
            raise UpstreamTruncated(detail="closed by us")
        part = self._body[self._read : self._read + len(buffer)]
        buffer[: len(part)] = part
        self._read += len(part)
        return len(part)

    async def wait_ready(self) -> None:
        """As `Source.wait_ready`; returns at once."""

    async def read_into(self, buffer: memoryview) -> int:
        """As `Source.read_into`."""
        return self.read_now(buffer)

    def raw_socket(self) -> socket.socket | None:
        """As `Source.raw_socket`: there is none."""
        return None

    def advance(self, count_bytes: int) -> None:
        """As `Source.advance`; nothing can be read past this object."""

    def release(self) -> None:
        """As `Source.release`."""
        self._closed = True

    def close(self) -> None:
        """As `Source.close`."""
        self._closed = True
