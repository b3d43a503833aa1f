"""A body in memory behaves as any other source."""

import pytest

from provider.errors import UpstreamTruncated
from provider.upstream.memory_source import MemorySource


def test_the_body_is_read_in_pieces_to_a_clean_end() -> None:
    source = MemorySource(b"abcdef", content_type="application/json")
    buffer = memoryview(bytearray(4))
    assert (source.status, source.length_bytes, source.ready_bytes) == (200, 6, 6)
    assert (source.read_now(buffer), bytes(buffer)) == (4, b"abcd")
    assert source.ready_bytes == 2
    assert (source.read_now(buffer), bytes(buffer[:2])) == (2, b"ef")
    assert source.read_now(buffer) == 0
    assert source.headers.get("content-type") == "application/json"
    assert (source.raw_socket(), source.run_bytes) == (None, 0)


def test_a_closed_one_gives_nothing() -> None:
    source = MemorySource(b"abc", content_type="text/plain")
    source.close()
    assert source.ready_bytes == 0
    with pytest.raises(UpstreamTruncated):
        source.read_now(memoryview(bytearray(1)))
