"""`Content-Range` as text in, the range and the whole's length out (RFC 9110 section 14.4; pure)."""

import re
from dataclasses import dataclass

_BYTES = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """`first` and `last` byte positions, inclusive, None for `*` (a 416); `total_bytes` None when unknown."""

    first: int | None
    last: int | None
    total_bytes: int | None


def parse_content_range(text: str | None) -> ContentRange | None:
    """Parse a field value; None when absent or not valid, which RFC 9110 section 14.4 says to ignore."""
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
