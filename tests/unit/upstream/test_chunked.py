"""Chunked bodies are decoded in place, however they are cut; broken framing is UpstreamTruncated and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UpstreamTruncated
from provider.upstream.chunked import MAX_LINE_BYTES, MAX_TRAILER_BYTES, ChunkedDecoder


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
