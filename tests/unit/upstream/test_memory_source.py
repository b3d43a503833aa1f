"""A body in memory behaves as any other source."""

import pytest

from provider.errors import UpstreamTruncated
from provider.upstream.answer import AskWhole, NotModified, Part, Unsatisfiable, Whole, answer_of
from provider.upstream.memory_source import MemorySource
from provider.upstream.wish import read_wish


def test_the_body_is_read_in_pieces_to_a_clean_end() -> None:
    source = MemorySource(b"abcdef", content_type="application/json")
    buffer = memoryview(bytearray(4))
    assert (source.status, source.length_bytes, source.ready_bytes) == (200, 6, 6)
    assert (source.read_now(buffer), bytes(buffer)) == (4, b"abcd")
    assert source.ready_bytes == 2
    assert (source.read_now(buffer), bytes(buffer[:2])) == (2, b"ef")
    assert source.read_now(buffer) == 0
    assert source.headers.get("content-type") == "application/json"
    assert (source.raw_socket(), source.contiguous_bytes) == (None, 0)


def test_a_closed_one_gives_nothing() -> None:
    source = MemorySource(b"abc", content_type="text/plain")
    source.close()
    assert source.ready_bytes == 0
    with pytest.raises(UpstreamTruncated):
        source.read_now(memoryview(bytearray(1)))


TAG = MemorySource(b"abcdef", content_type="text/plain").headers.get("ETag") or ""


@pytest.mark.parametrize(
    ("fields", "expected", "body"),
    [
        ({}, Whole(6), b"abcdef"),
        ({"Range": "bytes=1-2"}, Part(1, 2, 6), b"bc"),
        ({"Range": "bytes=-2"}, Part(4, 5, 6), b"ef"),
        ({"Range": "bytes=1-2,4-5"}, Whole(6), b"abcdef"),
        ({"Range": "bytes=6-"}, Unsatisfiable(6), b""),
        ({"Range": "bytes=1-2", "If-Range": TAG}, Part(1, 2, 6), b"bc"),
        ({"Range": "bytes=1-2", "If-Range": '"other"'}, Whole(6), b"abcdef"),
        ({"If-None-Match": TAG}, NotModified(), b"abcdef"),
    ],
    ids=repr,
)
def test_ranges_and_conditions_hold_for_a_result(fields: dict[str, str], expected: object, body: bytes) -> None:
    wish = read_wish(fields)
    source = MemorySource(b"abcdef", content_type="text/plain", wish=wish)
    buffer = memoryview(bytearray(9))
    assert not isinstance(found := answer_of(wish, source), AskWhole)
    assert (found, bytes(buffer[: source.read_now(buffer)])) == (expected, body)


def test_another_result_has_another_tag() -> None:
    assert MemorySource(b"abcdeg", content_type="text/plain").headers.get("ETag") != TAG
