"""Parses JSON from strangers. Its size in memory is bounded before it is parsed, and it is parsed once (pure).

A value of two bytes, such as `{}`, takes some hundred bytes of memory. So a limit in bytes alone bounds nothing.
"""

import json
import re
import secrets
from typing import Self

import orjson

from provider.errors import BodyTooComplex

# The richest documented call, a job with 50 datasets, has some 500 values.
MAX_VALUES = 4096
# Most bytes outside of strings. A body is long because of its strings.
MAX_OUTSIDE_BYTES = 256 << 10
# The memory of a dictionary with one entry and its key, measured with CPython 3.11.
BYTES_PER_VALUE = 320
# One character outside the Basic Multilingual Plane makes its whole string four bytes wide (PEP 393).
BYTES_PER_WIDE_CHARACTER = 4
# Bytes examined in one step, which takes a millisecond at most.
PIECE_BYTES = 64 << 10
# A longer integer may not fit in 64 bits. orjson would turn it into a float.
_LONG_DIGITS = re.compile(rb"[0-9]{19}")
# No request has a tenth of this. Python compares, hashes and prints values by recursion, up to a depth of 1000.
_MAX_DEPTH = 512
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class JsonShape:
    """Counts the values of a JSON text while it arrives. `feed` takes the pieces in order."""

    __slots__ = ("_is_escaped", "_is_narrow", "_outside", "_quotes", "has_escapes", "size_bytes", "values")

    def __init__(self) -> None:
        self.size_bytes = self.values = self._quotes = 0
        self._outside = bytearray()
        self.has_escapes = self._is_escaped = False
        self._is_narrow = True

    @classmethod
    def of(cls, text: bytes | bytearray) -> Self:
        """Make it for a whole text. Raises BodyTooComplex."""
        shape = cls()
        view = memoryview(text)
        for start in range(0, len(text), PIECE_BYTES):
            shape.feed(bytes(view[start : start + PIECE_BYTES]))
        return shape

    @property
    def outside(self) -> bytes:
        """The bytes outside of strings, without the quotes."""
        return bytes(self._outside)

    @property
    def parsed_bytes(self) -> int:
        """The most memory that the value can take."""
        return self.size_bytes * (1 if self._is_narrow else BYTES_PER_WIDE_CHARACTER) + self.values * BYTES_PER_VALUE

    def feed(self, piece: bytes) -> None:
        """Count the values of the next piece. Raises BodyTooComplex for too many."""
        self.size_bytes += len(piece)
        has_escapes = b"\\" in piece
        self.has_escapes = self.has_escapes or has_escapes
        self._is_narrow = self._is_narrow and not has_escapes and piece.isascii()
        if self._is_escaped:
            piece = piece[1:]
            self._is_escaped = False
        if has_escapes:
            piece = piece.replace(b"\\\\", b"")
            self._is_escaped = piece.endswith(b"\\")
            piece = piece.replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b"".join(parts[self._quotes % 2 :: 2])
        self._quotes += len(parts) - 1
        self._outside += outside
        self.values += len(outside) - len(outside.translate(None, b"{[,"))
        # A string has two quotes. Each string is a value, or the name of one.
        if self.values > MAX_VALUES or self._quotes > 4 * MAX_VALUES or len(self._outside) > MAX_OUTSIDE_BYTES:
            raise BodyTooComplex


def parse_json(body: bytes | bytearray | str, shape: JsonShape | None = None) -> object:
    """Return a JSON value with exact integers of any size, or None if it cannot be parsed.

    NaN and infinities (RFC 8259 section 6), lone surrogates, which could not be encoded again, and deep nesting count
    as not parsable. `shape`: if it is known already. Raises BodyTooComplex for more than MAX_VALUES values.
    """
    text = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    shape = JsonShape.of(text) if shape is None else shape
    outside = shape.outside
    try:
        if _is_deep(outside):
            return None
        if shape.size_bytes > 2 * PIECE_BYTES and not shape.has_escapes:
            return _parse_long(text, outside)
        return _parse(text, outside)
    except ValueError:
        return None


def member_text(text: str, name: str) -> str:
    """Return the text of a member of a JSON object that `parse_json` has read; the last one with this name.

    A hash of the text depends on how numbers and strings were written, which a parsed value does not show.
    """
    found = ""
    end = text.index("{")
    while text[end] != "}":
        key, end = _DECODER.raw_decode(text, _skip_space(text, end + 1))
        start = _skip_space(text, _skip_space(text, end) + 1)
        _, end = _DECODER.raw_decode(text, start)
        if key == name:
            found = text[start:end]
        end = _skip_space(text, end)
    return found


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _parse(text: bytes | bytearray, outside: bytes) -> object:
    value: object = _parse_exactly(text) if _LONG_DIGITS.search(outside) else orjson.loads(text)
    return value


def _parse_long(text: bytes | bytearray, outside: bytes) -> object:
    """Parse an object whose fields are long plain strings without a parser, which would stop all threads meanwhile."""
    parts: list[bytes | bytearray] = [*text.split(b'"')]
    strings: dict[str, bytes | bytearray] = {}
    # Nobody can send this mark on purpose.
    mark = secrets.token_hex(16)
    for index in range(1, len(parts), 2):
        if len(parts[index]) > PIECE_BYTES:
            strings[f"{mark}{index}"] = parts[index]
            parts[index] = f"{mark}{index}".encode()
    value = _parse(b'"'.join(parts), outside)
    if isinstance(value, dict):
        for name, short in value.items():
            if isinstance(short, str) and short in strings:
                value[name] = strings.pop(short).decode("utf-8")
    # The remaining mark is deeper inside, or in a name.
    return value if not strings else _parse(text, outside)


def _parse_exactly(text: bytes | bytearray) -> object:
    """Parse with integers of any size, by the rules of orjson. Raises ValueError."""
    value: object = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    if b"\\u" in text:
        # Raises for a lone surrogate.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _is_deep(outside: bytes) -> bool:
    """Return whether a value is nested deeper than _MAX_DEPTH. Raises BodyTooComplex for too many brackets."""
    if outside.count(b"[") + outside.count(b"{") <= _MAX_DEPTH:
        return False
    depth = deepest = 0
    brackets = outside.translate(None, _NO_BRACKETS)
    if len(brackets) > 2 * MAX_VALUES:
        raise BodyTooComplex
    for byte in brackets:
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > _MAX_DEPTH


def _refuse_constant(name: str) -> object:
    raise ValueError(name)
