"""gzip and deflate are undone with bounded output per step."""

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import UpstreamTruncated
from provider.upstream.content_coding import ContentDecoder, decoded_coding

TEXT = b"id,value\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(3000))


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def decode(coding: str, data: bytes, *, step: int = 1 << 20, room: int = 4096) -> bytes:
    decoder, out, buffer = ContentDecoder(coding), b"", memoryview(bytearray(room))
    for start in range(0, len(data), step):
        decoder.feed(data[start : start + step])
        while count := decoder.read(buffer):
            out += buffer[:count]
        assert decoder.wants_input
    decoder.finish()
    return out


CODED = {
    "gzip": ("gzip", gzip.compress(TEXT), TEXT),
    "gzip members": ("gzip", gzip.compress(TEXT) + gzip.compress(b"more"), TEXT + b"more"),
    "gzip with padding": ("gzip", gzip.compress(TEXT) + bytes(100), TEXT),
    "empty gzip": ("gzip", gzip.compress(b""), b""),
    "zlib": ("deflate", zlib.compress(TEXT), TEXT),
    "raw deflate": ("deflate", raw_deflate(TEXT), TEXT),
    "zlib with surplus": ("deflate", zlib.compress(TEXT) + b"surplus", TEXT),
    "nothing": ("gzip", b"", b""),
}


@pytest.mark.parametrize(("step", "room"), [(1 << 20, 1 << 20), (1 << 20, 10), (1, 4096), (3, 1)])
@pytest.mark.parametrize(("coding", "data", "expected"), list(CODED.values()), ids=list(CODED))
def test_a_coding_is_undone_however_it_is_cut(coding: str, data: bytes, expected: bytes, step: int, room: int) -> None:
    assert decode(coding, data, step=step, room=room) == expected


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_cut_stream_does_not_end_cleanly(coding: str) -> None:
    data = gzip.compress(TEXT) if coding == "gzip" else zlib.compress(TEXT)
    for cut in (1, 5, len(data) // 2, len(data) - 1):
        with pytest.raises(UpstreamTruncated):
            decode(coding, data[:cut])


def test_a_broken_checksum_is_truncation() -> None:
    data = bytearray(gzip.compress(TEXT))
    data[-5] ^= 1
    with pytest.raises(UpstreamTruncated):
        decode("gzip", bytes(data))


def test_a_bomb_never_gives_more_than_the_buffer() -> None:
    decoder, buffer = ContentDecoder("gzip"), memoryview(bytearray(65536))
    decoder.feed(gzip.compress(bytes(64 << 20)))
    total = 0
    while count := decoder.read(buffer):
        assert count <= 65536
        total += count
    assert total == 64 << 20


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_data_or_truncation(data: bytes, coding: str) -> None:
    try:
        decode(coding, data)
    except UpstreamTruncated:
        pass


@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 300))
def test_random_data_survives(seed: int, step: int, room: int) -> None:
    data = random.Random(seed).randbytes(seed)
    assert decode("gzip", gzip.compress(data), step=step, room=room) == data


@pytest.mark.parametrize(
    ("codings", "expected"),
    [
        ([], None),
        (["identity"], None),
        (["gzip"], "gzip"),
        (["x-gzip"], "gzip"),
        (["identity", "deflate"], "deflate"),
        (["br"], None),
        (["gzip", "gzip"], None),
    ],
)
def test_only_a_single_known_coding_is_undone(codings: list[str], expected: str | None) -> None:
    assert decoded_coding(codings) == expected
