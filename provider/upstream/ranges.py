"""The consumer's `Range` header: passed to the origin when it is a sane one, otherwise ignored (pure).

RFC 9110 section 14.2 allows a server to ignore the field; which bytes are served is the origin's decision.
"""

import re

# A download resumes with one range; viewers of large formats ask for a few. Many small ones are an attack on the
# origin (RFC 9110 section 17.15).
MAX_RANGES = 8
# A position of 19 digits passes any file; eight pairs of them fit.
MAX_RANGE_CHARS = 512

_RANGE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})")


def passable_range(text: str | None) -> str | None:
    """Normal form of a `bytes` range set, or None when absent, malformed, of another unit or excessive.

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
