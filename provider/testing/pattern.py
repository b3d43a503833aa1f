"""A large file that exists only as a rule: each block of 1 MiB is a window into one 2 MiB base, at its own offset.

Each of the first 2**20 blocks differs from all others in nearly every byte. So a lost, doubled or misplaced piece
changes the sha256, and yet every block can be sent directly from the base.
"""

import hashlib
from collections.abc import Iterator
from functools import cache

BLOCK_BYTES = 1 << 20
_STRIDE = 0x9E3779B1  # odd, hence no offset repeats within 2**20 blocks (multiplicative hashing, Knuth 6.4)


@cache
def base() -> bytes:
    """Return the 2 MiB behind every window; the same on every machine."""
    return hashlib.shake_256(b"provider demo pattern").digest(2 * BLOCK_BYTES)


def locate(position: int, end: int) -> tuple[int, int]:
    """Return where in the base the byte at `position` is, and how many bytes follow it there, up to `end`."""
    block, within = divmod(position, BLOCK_BYTES)
    return (block * _STRIDE) % BLOCK_BYTES + within, min(BLOCK_BYTES - within, end - position)


def pieces(start: int, end: int) -> Iterator[memoryview]:
    """Yield bytes `start` to `end` (exclusive) of the file, in views of at most one block."""
    view = memoryview(base())
    while start < end:
        offset, count = locate(start, end)
        yield view[offset : offset + count]
        start += count


def sha256(size_bytes: int) -> str:
    """Return the hex sha256 of the first `size_bytes` bytes. Releases the interpreter lock while hashing."""
    digest = hashlib.sha256()
    for piece in pieces(0, size_bytes):
        digest.update(piece)
    return digest.hexdigest()
