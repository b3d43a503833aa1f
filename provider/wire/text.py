"""Text from the network, read as ASCII (pure).

`str.isdigit`, `int()` and `str.strip()` follow Unicode: `²` is a digit, `٣` is a number, U+0085 and U+00A0 are white
space. `int()` also takes `1_0`, and `bytes.fromhex` skips white space. HTTP, FTP and JSON-RPC mean ASCII characters
only.
"""

import re

# Python's int() refuses longer decimal text (`sys.int_info.default_max_str_digits`).
_MAX_DIGITS = 4300
_HEX_DIGITS = re.compile(r"[0-9A-Fa-f]+")

NAME_CHARS = r"!#$%&'*+.^_`|~0-9A-Za-z-"
"""The characters of a token, for a character class of a regular expression."""
TOKEN = re.compile(rf"[{NAME_CHARS}]+")
"""A token: the name of a header field, a method, and more (RFC 9110 section 5.6.2)."""


def digits(text: str, *, max_chars: int = _MAX_DIGITS) -> int | None:
    """The number written in 1 to `max_chars` decimal digits. None for any other text.

    DIGIT of RFC 5234 appendix B.1: no sign, no white space, no underscore.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= max_chars else None


def hex_bytes(text: str) -> bytes | None:
    """The bytes written as two hex digits each, of either case, without a prefix. None for any other text."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    # White space was skipped if there are fewer bytes.
    return data if 2 * len(data) == len(text) else None


def hex_number(text: str, *, max_chars: int = 64) -> int | None:
    """The number written in 1 to `max_chars` hex digits of either case, without a prefix. None for any other text."""
    return int(text, 16) if len(text) <= max_chars and _HEX_DIGITS.fullmatch(text) else None


def ows(text: str) -> str:
    """Strip optional white space from both ends (RFC 9110 section 5.6.3: SP and HTAB)."""
    return text.strip(" \t")
