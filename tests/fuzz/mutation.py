"""A kept input with a few edits. It stands in for coverage guidance where atheris is missing."""

import random
from collections.abc import Sequence

# What wire text hinges on.
WORDS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"=",
        b"/",
        b"%",
        b'"',
        b"\\",
        b"0",
        b"-1",
        b"\xc2\xb2",
    ),
    *(b"\x85", b"\xa0", b"\xff", b"\xed\xa0\x80", b"{}", b"[]", b"null", b"1e400", b"NaN", b"9" * 19, b"[" * 60),
    *(b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n", b"HTTP/1.0", b"../", b"bytes=0-"),
)


def mutated(seeds: Sequence[bytes], max_bytes: int, dice: random.Random) -> bytes:
    """Any bytes, or one of `seeds` after up to six edits."""
    if not dice.randrange(4):
        return dice.randbytes(dice.randint(0, min(max_bytes, 200)))
    data = dice.choice(seeds)
    for _ in range(dice.randint(0, 6)):
        at = dice.randint(0, len(data))
        piece = dice.choice((b"", dice.choice(WORDS), dice.randbytes(dice.randint(0, 8)), dice.choice(seeds)))
        data = data[:at] + piece + data[at + dice.choice((0, 0, 1, 2, 8, 64)) :]
    return data[:max_bytes]
