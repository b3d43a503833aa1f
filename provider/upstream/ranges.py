"""Byte ranges as text: a consumer's `Range`, the part it selects, and an origin's `Content-Range` (pure).

RFC 9110 section 14. A malformed or excessive `Range` is ignored, as section 14.2 allows: the answer is the whole file.
"""

import re
from dataclasses import dataclass

# A resumed download sends one range; viewers of large formats send a few. Many small ranges are an attack on the
# origin (RFC 9110 section 17.15).
MAX_RANGES = 8
# 19 digits hold the position in any file; eight pairs of them fit.
MAX_RANGE_CHARS = 512

_RANGE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})")


def passable_range(text: str | None) -> str | None:
    """Normal form of a set of `bytes` ranges. None if absent, malformed, in another unit or excessive.

    RFC 9110 section 14.1.2: `first-last` with first <= last, `first-`, or `-suffix_length` with a length above 0.
    """
    if text is None or len(text) > MAX_RANGE_CHARS:
        return None
    unit, equals, ranges = text.partition("=")
    if unit.strip(" \t").lower() != "bytes" or not equals:
        return None
    parts = [part.strip(" \t") for part in ranges.split(",")]
    parts = [part for part in parts if part]
    if not 1 <= len(parts) <= MAX_RANGES or not all(map(_is_valid, parts)):
        return None
    return "bytes=" + ",".join(parts)


def _is_valid(part: str) -> bool:
    match = _RANGE.fullmatch(part)
    if match is None:
        return False
    first, last, suffix = match.groups()
    if suffix is not None:
        return int(suffix) > 0
    return last is None or int(first) <= int(last)


@dataclass(frozen=True, slots=True)
class Selection:
    """The bytes to serve: `count` bytes from `first` on, of `total`. `status`: 200 (all of them), 206 or 416."""

    status: int
    first: int
    count: int
    total: int

    @property
    def content_range(self) -> str:
        """Value of `Content-Range` (RFC 9110 section 14.4) of a 206 or 416."""
        if self.status == 416:
            return f"bytes */{self.total}"
        return f"bytes {self.first}-{self.first + self.count - 1}/{self.total}"


def select_range(range_header: str | None, total: int) -> Selection:
    """Select the bytes that a consumer's `Range` asks for, of a file of `total` bytes."""
    wanted = passable_range(range_header)
    if wanted is None or "," in wanted:
        return Selection(200, 0, total, total)
    first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
    if not first_text:
        first, last = max(0, total - int(last_text)), total - 1
    else:
        first, last = int(first_text), min(int(last_text), total - 1) if last_text else total - 1
    if first >= total:
        return Selection(416, 0, 0, total)
    return Selection(206, first, last - first + 1, total)


_BYTES = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """`first` and `last` are byte positions, inclusive; None for `*` (a 416). `total_bytes`: None if unknown."""

    first: int | None
    last: int | None
    total_bytes: int | None


def parse_content_range(text: str | None) -> ContentRange | None:
    """Parse a field value. None if absent or invalid; RFC 9110 section 14.4 says to ignore an invalid one."""
    match = _BYTES.fullmatch(text.strip(" \t")) if text is not None else None
    if match is None:
        return None
    first, last = (int(match[1]), int(match[2])) if match[1] else (None, None)
    total_bytes = None if match[3] == "*" else int(match[3])
    if first is None or last is None:
        return ContentRange(None, None, total_bytes) if total_bytes is not None else None
    if last < first or (total_bytes is not None and last >= total_bytes):
        return None
    return ContentRange(first, last, total_bytes)
