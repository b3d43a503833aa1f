"""A body of unknown length for a client that needs the length: read a small one first, refuse any other.

HTTP/1.0 has no chunks, so such a body ends with the connection. Over TLS that is not enough: RFC 9112 section 9.8 lets
a client trust that end only after `close_notify`, and common clients (nginx as a proxy) do not check for it.
"""

from provider.errors import LengthUnknown
from provider.upstream.memory_source import MemorySource
from provider.upstream.source import Source

# The memory limit of a stream.
MAX_MEASURED_BYTES = 256 << 10


class MeasuredSource(MemorySource):
    """A whole body, with status and headers of the answer that it arrived in."""

    __slots__ = ("final_url_path", "status")

    def __init__(self, source: Source, body: bytes) -> None:
        super().__init__(body, content_type="")
        self.headers = source.headers
        self.status = source.status
        self.final_url_path = source.final_url_path


async def measured(source: Source) -> MeasuredSource:
    """Read the whole body of `source` and release it.

    Raises:
        LengthUnknown: the body is longer than `MAX_MEASURED_BYTES`.
        UpstreamTruncated, UpstreamTimedOut: the origin failed.
    """
    buffer = memoryview(bytearray(MAX_MEASURED_BYTES + 1))
    held = 0
    try:
        while count := await source.read_into(buffer[held:]):
            held += count
            if held > MAX_MEASURED_BYTES:
                raise LengthUnknown
    except BaseException:
        source.close()
        raise
    source.release()
    return MeasuredSource(source, bytes(buffer[:held]))
