"""Documents (DDOs) from the chain: decrypts, decompresses and verifies them (pure).

Bytes, flags and hash of a Metadata event in, the clear document out (`provider-api.md` section 5.3, steps 7-9).
"""

import hashlib
import lzma

from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt
from provider.errors import DecryptError

COMPRESSED = 1
_ENCRYPTED = 2

# `xz -9` needs at most 65 MiB to decompress; ocean.py's default preset needs 9. The format allows dictionaries of up to
# 4 GiB, which no document needs.
_MAX_LZMA_MEMORY_BYTES = 96 * 1024 * 1024


def open_document(account: Account, data: bytes, flags: int, expected_hash: bytes, *, max_bytes: int) -> bytes:
    """Return the clear document. Only bits 0 (LZMA) and 1 (ECIES) of `flags` count.

    Args:
        account: key to decrypt with.
        data: bytes of the Metadata event.
        flags: flags of the Metadata event.
        expected_hash: sha256 of the clear bytes.
        max_bytes: limit for the decompressed document.

    Raises:
        DecryptError: with a documented text: `Failed to decrypt.`, `Failed to decompress`, `Checksum doesn't match.`
    """
    if flags & _ENCRYPTED:
        try:
            data = decrypt(account, data)
        except ValueError as error:
            raise DecryptError("Failed to decrypt.", detail=str(error)) from None
    if flags & COMPRESSED:
        data = _decompress(data, max_bytes)
    if hashlib.sha256(data).digest() != expected_hash:
        raise DecryptError("Checksum doesn't match.")
    return data


def _decompress(data: bytes, max_bytes: int) -> bytes:
    """Decompress exactly one `.xz` or legacy `.lzma` stream."""
    decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_AUTO, memlimit=_MAX_LZMA_MEMORY_BYTES)
    try:
        # One byte more than allowed, to tell a document of exactly the limit from a longer one.
        document = decompressor.decompress(data, max_length=max_bytes + 1)
    except lzma.LZMAError as error:
        raise DecryptError("Failed to decompress", detail=f"not LZMA: {error}") from None
    if len(document) > max_bytes:
        raise DecryptError("Failed to decompress", detail=f"more than {max_bytes} bytes")
    if not decompressor.eof:
        raise DecryptError("Failed to decompress", detail="the stream is cut off")
    if decompressor.unused_data:
        raise DecryptError("Failed to decompress", detail="bytes after the end of the stream")
    return document
