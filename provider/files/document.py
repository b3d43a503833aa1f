"""Documents (DDOs) as they stand on chain: decrypted, decompressed, verified (pure).

Bytes, flags and hash of a Metadata event in, the clear document out (`provider-api.md` section 5.3, steps 7-9).
"""

import hashlib
import lzma

from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt
from provider.errors import DecryptError

COMPRESSED = 1
_ENCRYPTED = 2

# The most that `xz -9` needs to decompress is 65 MiB; ocean.py's default preset needs 9. Larger dictionaries,
# up to 4 GiB in the format, serve no document.
_MAX_LZMA_MEMORY_BYTES = 96 * 1024 * 1024


def open_document(account: Account, data: bytes, flags: int, expected_hash: bytes, *, max_bytes: int) -> bytes:
    """The clear document. Only bits 0 (LZMA) and 1 (ECIES) of `flags` count.

    `expected_hash` is sha256 of the clear bytes; `max_bytes` bounds what decompression may give. Raises
    DecryptError with the documented texts `Failed to decrypt.`, `Failed to decompress`, `Checksum doesn't match.`
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
    """One whole `.xz` or legacy `.lzma` stream and nothing after it."""
    decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_AUTO, memlimit=_MAX_LZMA_MEMORY_BYTES)
    try:
        # One byte more than allowed tells a document of exactly the limit from a longer one.
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
