"""JSON that publishers and services wrote with Python or JavaScript, read as those two read it (pure).

orjson follows RFC 8259 section 6 and Unicode: it refuses lone surrogates, NaN, infinities, numbers beyond a double, and
a byte order mark. `json.dumps` and `JSON.stringify` can write them, and one such character in a description must not
make a whole document unreadable.
"""

import math
import re

import orjson

MAX_VALUES = 100_000
"""More than any document has. A parser holds all threads for about a second per million of them."""

# The second reading takes up to 50 ms for this much, and no thread runs meanwhile. DDOs have some ten KiB.
_MAX_BYTES = 256 << 10
_BOM = b"\xef\xbb\xbf"
_REPLACEMENT = "\ufffd".encode()
# A pair of surrogates, a single one, and any other escape, so that an escaped backslash does not start an escape.
_ESCAPE = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_RAW_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_LARGE_NUMBER = re.compile(rb"[eE]\+?[0-9]{3}|(?<![0-9])[0-9]{309}")
# Every attempt consumes what it read: a quote without an end takes all that follows. A failed attempt would be repeated
# at the next quote, which takes hours for a hostile text.
_TEXT_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?+|NaN|-?Infinity|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+', re.DOTALL
)


def is_crowded(text: bytes | bytearray) -> bool:
    """True if JSON may have more values in it than any document has. Commas in its texts count too."""
    return text.count(b"[") + text.count(b"{") + text.count(b",") > MAX_VALUES


def read_json(text: bytes | bytearray | str) -> object:
    """Parse JSON text. Raises ValueError.

    A lone surrogate becomes U+FFFD, as when written as UTF-8. A number that is not finite becomes null.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
        plain = _plain(data) if len(data) <= _MAX_BYTES else data
        if plain == data:
            raise
        # Not `json`: it recurses on the C stack, and libraries raise the limit that would stop it in time.
        return orjson.loads(plain)


def _plain(text: bytes) -> bytes:
    """Replace everything that only Python and JavaScript can read."""
    text = text.removeprefix(_BOM)
    if b"\\u" in text:
        text = _ESCAPE.sub(_paired, text)
    text = _RAW_SURROGATE.sub(_REPLACEMENT, text)
    if b"NaN" in text or b"Infinity" in text or _LARGE_NUMBER.search(text):
        text = _TEXT_OR_NUMBER.sub(_finite, text)
    return text


def _paired(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[2] else escape[0]


def _finite(token: re.Match[bytes]) -> bytes:
    text = token[0]
    return text if text.startswith(b'"') or math.isfinite(float(text)) else b"null"
