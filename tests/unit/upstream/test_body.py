"""Bodies are read by their framing; an early end is never clean."""

import pytest

from provider.errors import UpstreamTruncated
from provider.upstream.body import Body
from provider.upstream.response_head import ResponseHead
from provider.upstream.source import Headers


class FakeConnection:
    """Gives its pieces one by one: bytes, None for nothing yet, an exception; then the end of the stream."""

    is_tls = False

    def __init__(self, *pieces: bytes | OSError | None) -> None:
        self.pieces = list(pieces)

    def recv_now(self, buffer: memoryview) -> int | None:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, OSError):
            raise piece
        if piece is None:
            return None
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        if count < len(piece):
            self.pieces.insert(0, piece[count:])
        return count


def body(framing: str, *pieces, length: int | None = None, ahead: bytes = b"") -> Body:
    head = ResponseHead(200, Headers(), framing, length, keep_alive=True)
    return Body(FakeConnection(*pieces), head, ahead)


def read_all(of: Body, room: int = 4096) -> bytes:
    out, buffer = b"", memoryview(bytearray(room))
    while True:
        count = of.read_now(buffer)
        if count == 0:
            return out
        out += buffer[: count or 0]


CHUNKED = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@pytest.mark.parametrize("room", [4096, 1])
def test_bytes_that_came_with_the_head_come_first(room: int) -> None:
    assert read_all(body("length", b"de", length=5, ahead=b"abc"), room) == b"abcde"
    assert read_all(body("close", b"de", ahead=b"abc"), room) == b"abcde"
    assert read_all(body("chunked", CHUNKED[4:], ahead=CHUNKED[:4]), room) == b"abcde"


@pytest.mark.parametrize("room", [4096, 1])
def test_bytes_after_the_length_never_reach_the_consumer(room: int) -> None:
    of = body("length", length=3, ahead=b"abcHTTP/1.1 200 OK")
    assert read_all(of, room) == b"abc"
    assert not of.leaves_clean_connection
    of = body("length", b"abcEVIL", length=3)
    assert read_all(of, room) == b"abc"
    assert of.leaves_clean_connection


def test_bytes_after_the_last_chunk_never_reach_the_consumer() -> None:
    of = body("chunked", CHUNKED + b"EVIL")
    assert read_all(of) == b"abcde"
    assert not of.leaves_clean_connection


@pytest.mark.parametrize(
    ("framing", "pieces", "length"),
    [
        ("length", [b"abc"], 5),
        ("length", [], 5),
        ("length", [b"abc", ConnectionResetError()], 5),
        ("chunked", [CHUNKED[:-1]], None),
        ("chunked", [CHUNKED[:6]], None),
        ("chunked", [], None),
        ("close", [b"abc", ConnectionResetError()], None),
    ],
)
def test_an_early_end_is_truncation(framing: str, pieces: list, length: int | None) -> None:
    with pytest.raises(UpstreamTruncated):
        read_all(body(framing, *pieces, length=length))


def test_nothing_yet_is_not_the_end() -> None:
    of = body("length", None, b"ab", None, b"c", length=3)
    assert [of.read_now(memoryview(bytearray(9))) for _ in range(5)] == [None, 2, None, 1, 0]


@pytest.mark.parametrize("pieces", [[CHUNKED], [CHUNKED[:-1], CHUNKED[-1:]]])
@pytest.mark.parametrize("expected", [4, 6])
def test_chunks_of_another_length_than_expected_are_truncation(pieces: list[bytes], expected: int) -> None:
    of = body("chunked", *pieces)
    of.expect(expected)
    with pytest.raises(UpstreamTruncated):
        read_all(of)


def test_no_more_than_expected_is_read_raw() -> None:
    of = body("chunked", b"a\r\n", b"x")
    of.expect(5)
    assert of.read_now(memoryview(bytearray(8))) is None
    assert of.contiguous_bytes == 5
    of.advance(5)
    assert of.contiguous_bytes == 0
    with pytest.raises(UpstreamTruncated):
        of.read_now(memoryview(bytearray(8)))


def test_raw_reading_begins_after_what_is_ahead_and_counts_the_rest() -> None:
    of = body("length", b"", length=5, ahead=b"abc")
    assert of.is_raw
    assert of.contiguous_bytes == 0
    assert of.read_now(memoryview(bytearray(10))) == 3
    assert of.contiguous_bytes == 2
    of.advance(1)
    assert (of.contiguous_bytes, of.ended) == (1, False)
    of.advance(1)
    assert (of.contiguous_bytes, of.ended) == (0, True)
    assert of.leaves_clean_connection


def test_raw_reading_never_takes_what_follows_the_body() -> None:
    of = body("length", length=3, ahead=b"abcEVIL")
    assert of.read_now(memoryview(bytearray(10))) == 3
    assert (of.contiguous_bytes, of.ended) == (0, True)
    assert not of.leaves_clean_connection


def test_a_chunk_is_read_raw_between_its_head_and_its_end() -> None:
    of = body("chunked", b"5\r\n", b"\r\n2;x=y\r\nde\r\n0\r\n\r\n")
    buffer = memoryview(bytearray(8))
    assert of.contiguous_bytes == 0
    assert of.read_now(buffer) is None
    assert of.contiguous_bytes == 5
    of.advance(2)
    of.advance(3)
    assert of.contiguous_bytes == 0
    assert of.read_now(buffer) is None
    assert of.read_now(buffer) == 2
    assert of.read_now(buffer) == 0
    assert of.leaves_clean_connection


def test_a_body_up_to_the_close_has_no_bound() -> None:
    of = body("close", b"abc")
    assert of.contiguous_bytes > 1 << 60
    of.advance(1 << 40)
    assert of.contiguous_bytes > 1 << 60
