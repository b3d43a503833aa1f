"""Documents: all flag values, bombs, cut and padded streams, wrong hashes."""

import hashlib
import lzma
import tracemalloc

import ecies
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto.accounts import Account
from provider.crypto.ecies import encrypt
from provider.errors import DecryptError
from provider.files.document import open_document

ACCOUNT = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
DOCUMENT = b'{"a":1}'
# provider-api.md section 18
XZ = bytes.fromhex(
    "fd377a585a000004e6d6b4460200210116000000742fe5a30100067b2261223a317d0000749319b1977e1fad00011f07162eb8731fb6f37d01"
    "0000000004595a"
)
HASH = bytes.fromhex("015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862")
LIMIT = 5 * 1024 * 1024


def opened(data: bytes, flags: int, expected_hash: bytes = HASH, max_bytes: int = LIMIT) -> bytes:
    return open_document(ACCOUNT, data, flags, expected_hash, max_bytes=max_bytes)


def sealed(data: bytes) -> bytes:
    return encrypt(ACCOUNT.public_key, data)


def test_hash_of_the_vector() -> None:
    assert hashlib.sha256(DOCUMENT).digest() == HASH
    assert lzma.compress(DOCUMENT) == XZ


@pytest.mark.parametrize(
    ("flags", "data"),
    [
        (0, DOCUMENT),
        (1, XZ),
        (2, sealed(DOCUMENT)),
        (3, sealed(XZ)),
        (3, ecies.encrypt(ACCOUNT.public_key.hex(), XZ)),
        (4, DOCUMENT),
        (0xFC, DOCUMENT),
        (0xFF, sealed(XZ)),
    ],
)
def test_the_two_lowest_flags_decide(flags: int, data: bytes) -> None:
    assert opened(data, flags) == DOCUMENT


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE),
        lzma.compress(DOCUMENT, preset=9 | lzma.PRESET_EXTREME),
        lzma.compress(DOCUMENT, check=lzma.CHECK_NONE),
        lzma.compress(DOCUMENT, check=lzma.CHECK_SHA256),
        # A legacy header that tells the length and has no end marker (written by the LZMA SDK).
        lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE)[:5]
        + b"\x07"
        + bytes(7)
        + lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE)[13:],
    ],
    ids=["lzma", "xz -9e", "no check", "sha256 check", "lzma with length"],
)
def test_every_container_that_clients_write_is_read(data: bytes) -> None:
    assert opened(data, 1) == DOCUMENT


@pytest.mark.parametrize(
    ("flags", "data", "text"),
    [
        (2, DOCUMENT, "Failed to decrypt."),
        (2, b"", "Failed to decrypt."),
        (3, XZ, "Failed to decrypt."),
        (2, sealed(DOCUMENT)[:-1], "Failed to decrypt."),
        (1, DOCUMENT, "Failed to decompress"),
        (1, b"", "Failed to decompress"),
        (1, sealed(XZ), "Failed to decompress"),
        (3, sealed(DOCUMENT), "Failed to decompress"),
        (0, XZ, "Checksum doesn't match."),
        (2, sealed(XZ), "Checksum doesn't match."),
        (0, b"", "Checksum doesn't match."),
        (0, DOCUMENT + b"\n", "Checksum doesn't match."),
    ],
)
def test_each_step_fails_with_its_own_text(flags: int, data: bytes, text: str) -> None:
    with pytest.raises(DecryptError) as caught:
        opened(data, flags)
    assert (str(caught.value), caught.value.http_status) == (text, 400)


@pytest.mark.parametrize("expected_hash", [b"", HASH[:-1], HASH + b"\x00", bytes(32)], ids=["none", "cut", "long", "0"])
def test_malformed_hash_matches_nothing(expected_hash: bytes) -> None:
    with pytest.raises(DecryptError, match="Checksum"):
        opened(DOCUMENT, 0, expected_hash)


def test_a_stream_cut_anywhere_is_refused() -> None:
    for length in range(len(XZ)):
        with pytest.raises(DecryptError, match="Failed to decompress"):
            opened(XZ[:length], 1)


@pytest.mark.parametrize("tail", [b"\x00", b"\x00" * 4, b"x", XZ], ids=["byte", "padding", "garbage", "second stream"])
def test_bytes_after_the_stream_are_refused(tail: bytes) -> None:
    with pytest.raises(DecryptError, match="Failed to decompress"):
        opened(XZ + tail, 1)


@pytest.mark.parametrize("form", [lzma.FORMAT_XZ, lzma.FORMAT_ALONE])
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_000])
def test_document_of_exactly_the_limit_passes_and_one_more_byte_does_not(size: int, form: int) -> None:
    document = b"a" * size
    data, digest = lzma.compress(document, format=form), hashlib.sha256(document).digest()
    assert opened(data, 1, digest, max_bytes=size) == document
    if size:
        with pytest.raises(DecryptError, match="Failed to decompress"):
            opened(data, 1, digest, max_bytes=size - 1)


def bomb(size: int) -> bytes:
    compressor = lzma.LZMACompressor()
    piece = bytes(1024 * 1024)
    return b"".join([compressor.compress(piece) for _ in range(size // len(piece))]) + compressor.flush()


def test_bomb_is_refused_in_bounded_memory() -> None:
    data = bomb(256 * 1024 * 1024)
    assert len(data) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(DecryptError, match="Failed to decompress"):
            opened(data, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * LIMIT


def test_dictionary_larger_than_any_document_needs_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 4096}]
    data = bytearray(lzma.compress(DOCUMENT, format=lzma.FORMAT_ALONE, filters=filters))
    data[1:5] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(DecryptError, match="Failed to decompress") as caught:
        opened(bytes(data), 1)
    assert "emory" in (caught.value.detail or "")


@given(st.binary(max_size=300), st.integers(0, 255), st.binary(max_size=40))
def test_nothing_but_a_decrypt_error_is_raised(data: bytes, flags: int, expected_hash: bytes) -> None:
    for content in (data, XZ[:24] + data, b"\x5d\x00\x00\x80\x00" + data, sealed(data)):
        with pytest.raises(DecryptError):
            opened(content, flags, expected_hash)
