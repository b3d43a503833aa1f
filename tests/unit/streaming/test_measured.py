"""A body of unknown length gets one, or is refused, before anything is sent."""

import pytest

from provider.errors import LengthUnknown, UpstreamTruncated
from provider.streaming.measured import MAX_MEASURED_BYTES, measured
from provider.upstream.memory_source import MemorySource
from provider.upstream.source import Headers


class Trickling(MemorySource):
    """Gives its body in small pieces, as chunks come; `fails` instead of a clean end."""

    def __init__(self, body: bytes, *, fails: bool = False) -> None:
        super().__init__(body, content_type="text/csv")
        self.fails, self.released, self.closed = fails, False, False

    async def read_into(self, buffer: memoryview) -> int:
        count = self.read_now(buffer[:10_000])
        if not count and self.fails:
            raise UpstreamTruncated
        return count

    def release(self) -> None:
        self.released = True

    def close(self) -> None:
        self.closed = True


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [0, 1, 10_000, MAX_MEASURED_BYTES])
async def test_a_small_body_gets_its_length(size: int) -> None:
    source = Trickling(b"x" * size)
    source.headers = Headers((("ETag", '"v1"'),))
    source.status, source.final_url_path = 206, "/a.csv"
    got = await measured(source)
    assert (got.length_bytes, got.status, got.final_url_path) == (size, 206, "/a.csv")
    assert got.headers.get("etag") == '"v1"'
    assert (source.released, source.closed) == (True, False)
    buffer = memoryview(bytearray(size + 1))
    assert bytes(buffer[: got.read_now(buffer)]) == b"x" * size


@pytest.mark.gen_test
async def test_a_longer_body_is_refused_and_its_origin_closed() -> None:
    source = Trickling(b"x" * (MAX_MEASURED_BYTES + 1))
    with pytest.raises(LengthUnknown):
        await measured(source)
    assert (source.released, source.closed) == (False, True)


@pytest.mark.gen_test
async def test_an_origin_that_breaks_off_is_closed() -> None:
    source = Trickling(b"x" * 100, fails=True)
    with pytest.raises(UpstreamTruncated):
        await measured(source)
    assert source.closed
