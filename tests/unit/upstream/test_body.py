"""Bodies are read by their framing; an early end is never clean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UpstreamTruncated
from provider.upstream.body import MAX_LINE_BYTES, MAX_TRAILER_BYTES, Body, ChunkedDecoder
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


@pytest.mark.parametrize("came_with_head", [0, 7, 150_000])
def test_one_read_decodes_so_much_framing_and_the_next_lets_others_run(came_with_head: int) -> None:
    """An origin may send a chunk for each byte, and readers count bytes: without a bound they read for seconds."""
    data = b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n"
    of = body("chunked", data[came_with_head:], ahead=data[:came_with_head])
    buffer, read = memoryview(bytearray(256 << 10)), 0
    while count := of.read_now(buffer):
        assert count <= 512
        assert buffer[:count] == b"a" * count
        read += count
        if not of.ended and of.ready_bytes:
            assert of.read_now(buffer) is None
    assert (read, of.leaves_clean_connection) == (50_000, True)


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


def decode(data: bytes, *, step: int = 1 << 20) -> tuple[bytes, ChunkedDecoder]:
    decoder, out = ChunkedDecoder(), b""
    for start in range(0, len(data), step):
        piece = bytearray(data[start : start + step])
        count = decoder.decode(memoryview(piece), len(piece))
        out += piece[:count]
    return out, decoder


WHOLE = {
    "two chunks": b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "hex sizes": b"A\r\nabcdefghij\r\na\r\nklmnopqrst\r\n0\r\n\r\n",
    "leading zeros": b"000003\r\nabc\r\n000\r\n\r\n",
    "extensions": b'3;a=b;c="d e"\r\nabc\r\n0 ; last\r\n\r\n',
    "trailers": b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
    "empty": b"0\r\n\r\n",
}
PAYLOADS = [b"abcde", b"abcdefghijklmnopqrst", b"abc", b"abc", b"abc", b""]

BROKEN = {
    "no size": b"\r\nabc",
    "not hex": b"xyz\r\n",
    "negative": b"-1\r\n",
    "signed": b"+1\r\n",
    "0x": b"0x3\r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "leading blank": b" 3\r\nabc\r\n",
    "too large": b"8000000000000000\r\n",
    "longer than its size": b"3\r\nabcd\r\n",
    "bare LF after the size": b"3\nabc\r\n0\r\n\r\n",
    "bare LF after the data": b"3\r\nabc\n0\r\n\r\n",
    "bare LF after the last chunk": b"3\r\nabc\r\n0\n\r\n",
    "bare LF in the trailer": b"3\r\nabc\r\n0\r\nX: 1\n\r\n",
    "bare LF at the end": b"3\r\nabc\r\n0\r\n\n",
    "one byte short": b"5\r\nhell\r\n0\r\n\r\n",
    "NUL in an extension": b"3;a\x00\r\nabc\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n",
    "endless size line": b"3;" + b"a" * (MAX_LINE_BYTES + 1),
    "bad trailer": b"0\r\nno colon\r\n\r\n",
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "endless trailer": b"0\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * (MAX_TRAILER_BYTES // 1000 + 1),
}


@pytest.mark.parametrize("step", [1 << 20, 7, 2, 1])
@pytest.mark.parametrize(("data", "payload"), list(zip(WHOLE.values(), PAYLOADS, strict=True)), ids=list(WHOLE))
def test_a_whole_body_is_decoded(data: bytes, payload: bytes, step: int) -> None:
    out, decoder = decode(data, step=step)
    assert out == payload
    assert decoder.done
    assert decoder.surplus_bytes == 0


@pytest.mark.parametrize("step", [1 << 20, 1])
@pytest.mark.parametrize("data", list(BROKEN.values()), ids=list(BROKEN))
def test_broken_framing_is_truncation(data: bytes, step: int) -> None:
    with pytest.raises(UpstreamTruncated):
        decode(data, step=step)


def test_broken_framing_never_ends_later() -> None:
    decoder, rest = ChunkedDecoder(), bytearray(b"0\r\n\r\n")
    with pytest.raises(UpstreamTruncated):
        decoder.decode(memoryview(bytearray(b"zz\r\n")), 4)
    with pytest.raises(UpstreamTruncated):
        decoder.decode(memoryview(rest), len(rest))
    assert not decoder.done


@pytest.mark.parametrize("step", [1 << 20, 1])
def test_what_follows_the_body_is_counted_and_never_payload(step: int) -> None:
    out, decoder = decode(b"3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil", step=step)
    assert out == b"abc"
    assert decoder.surplus_bytes == 23


def test_a_cut_body_is_never_done() -> None:
    cuts = range(len(WHOLE["trailers"]))
    assert [cut for cut in cuts if decode(WHOLE["trailers"][:cut])[1].done] == []


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 40))
def test_any_chunks_cut_anywhere_give_the_payload_back(chunks: list[bytes], step: int) -> None:
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    out, decoder = decode(data, step=step)
    assert out == b"".join(chunks)
    assert decoder.done


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_payload_or_truncation(data: bytes, step: int) -> None:
    try:
        out, _ = decode(data, step=step)
    except UpstreamTruncated:
        return
    assert len(out) <= len(data)
