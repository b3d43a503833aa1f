"""The head of an HTTP/1.1 message: its names, and the lines of a plain one (pure)."""

import re

NAME_CHARS = r"!#$%&'*+.^_`|~0-9A-Za-z-"
"""Inside a character class of a regular expression."""
TOKEN = re.compile(rf"[{NAME_CHARS}]+")
"""RFC 9110 section 5.6.2."""
PLAIN_BYTES = bytes(range(0x20, 0x7F)) + b"\r\n"
"""Of a plain head. Deleting these from one costs a tenth of a search for others."""
MAX_KEPT_CHARS = 64
"""Longer names are not remembered: hostile ones would take megabytes."""


def plain_lines(data: bytes | bytearray) -> list[str] | None:
    """Start line and field lines of a whole head in printable ASCII, each ended by CRLF; None for any other head."""
    if data.translate(None, PLAIN_BYTES):
        return None
    text = data.decode("ascii")
    lines = text.split("\r\n")
    ends = len(lines) - 1
    if ends < 2 or text.count("\r") != ends or text.count("\n") != ends or lines[-1] or lines[-2]:
        return None
    del lines[-2:]
    return lines
