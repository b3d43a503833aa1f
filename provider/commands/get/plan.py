"""Decides what to request next, and what an answer means (pure): spans of a file, resuming, retries.

A span is `(first, end)`: byte positions, the end exclusive. Bytes of two requests are joined only if both answers have
the same strong entity tag and the same length (RFC 9110 sections 8.8.3 and 14.5). Otherwise the file is begun again.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from provider.upstream.ranges import parse_content_range
from provider.upstream.validators import is_strong_tag, parse_http_date
from provider.wire.text import digits, ows

Span = tuple[int, int]
Headers = Mapping[str, str]

# Small enough that a lost connection costs little work, and large enough that the cost of a request does not matter.
MIN_PIECE_BYTES = 8 << 20
MAX_PIECE_BYTES = 64 << 20
PIECES_PER_CONNECTION = 4

MAX_ATTEMPTS = 8
"""Attempts in a row that bring no byte, until a download gives up: about a minute and a half."""
MAX_PATIENCE_SECONDS = 300.0
"""A server that asks for a longer pause gets none: the user can come back."""
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one version of a file.

    Attributes:
        length: in bytes; None if unknown.
        etag: the strong entity tag; None if the file has none.
        has_ranges: parts can be asked for.
    """

    length: int | None = None
    etag: str | None = None
    has_ranges: bool = False

    @property
    def can_resume(self) -> bool:
        """True if parts of this version can be distinguished from parts of another."""
        return self.has_ranges and self.etag is not None and bool(self.length)


@dataclass(frozen=True, slots=True)
class Saved:
    """The note of an earlier run: the file (`source`), its version, and which bytes are there."""

    source: str
    length: int
    etag: str
    done: tuple[Span, ...]


def resumable(saved: Saved | None, source: str, facts: Facts, size_bytes: int) -> tuple[Span, ...]:
    """Return the spans of an earlier run that are part of this version; none of them if anything differs.

    `size_bytes`: of the unfinished file. A file that is shorter than its note says was changed by somebody else.
    """
    if saved is None or not facts.can_resume:
        return ()
    if (saved.source, saved.length, saved.etag) != (source, facts.length, facts.etag):
        return ()
    return saved.done if all(end <= size_bytes for _, end in saved.done) else ()


def added(spans: Sequence[Span], first: int, end: int) -> tuple[Span, ...]:
    """Return sorted, separate spans with one more, which may touch or overlap them."""
    if first >= end:
        return tuple(spans)
    low = bisect_left(spans, first, key=lambda span: span[1])
    high = low
    while high < len(spans) and spans[high][0] <= end:
        first, end = min(first, spans[high][0]), max(end, spans[high][1])
        high += 1
    return (*spans[:low], (first, end), *spans[high:])


def missing(spans: Sequence[Span], first: int, end: int) -> list[Span]:
    """Return the parts of `first` to `end` that no span covers, in order."""
    gaps = []
    for done_first, done_end in spans:
        if done_end <= first:
            continue
        if done_first >= end:
            break
        if done_first > first:
            gaps.append((first, done_first))
        first = done_end
    if first < end:
        gaps.append((first, end))
    return gaps


def total(spans: Sequence[Span]) -> int:
    """Return the number of bytes in all spans."""
    return sum(end - first for first, end in spans)


def pieces(gaps: Sequence[Span], connections: int) -> list[Span]:
    """Cut the missing bytes into requests of 8 to 64 MiB, so that the connections end at about the same time."""
    wanted = total(gaps) // (connections * PIECES_PER_CONNECTION)
    size = min(MAX_PIECE_BYTES, max(MIN_PIECE_BYTES, wanted))
    return [(start, min(start + size, end)) for first, end in gaps for start in range(first, end, size)]


class Verdict(Enum):
    """What an answer's status and headers say about the request."""

    TAKE = auto()  # the body is what was asked for
    CHANGED = auto()  # another version of the file
    WHOLE = auto()  # the same version, but all of it: ranges do not work
    ENDED = auto()  # the link is no longer good
    LATER = auto()  # ask again after a pause
    REFUSED = auto()  # no repetition helps


# The link has expired, was revoked, or is unknown to a server with another key. Renewing it tells which.
_LINK_STATUSES = frozenset({401, 403, 404, 410})
# RFC 9110 section 15.5.9, RFC 8470 section 5.2, RFC 6585 section 4.
_LATER_STATUSES = frozenset({408, 425, 429})


def judge(status: int) -> Verdict:
    """Return the meaning of a status other than 200 and 206."""
    if status in (412, 416):
        return Verdict.CHANGED
    if status in _LINK_STATUSES:
        return Verdict.ENDED
    if status in _LATER_STATUSES or (status >= 500 and status not in (501, 505)):
        return Verdict.LATER
    return Verdict.REFUSED


def judge_part(status: int, headers: Headers, asked: Span, facts: Facts) -> Verdict:
    """Check that this answer to a request with `Range` and `If-Range` has exactly the requested bytes."""
    if status == 200:
        return Verdict.WHOLE if facts_of(headers).etag == facts.etag else Verdict.CHANGED
    if status != 206:
        return judge(status)
    if headers.get("ETag") != facts.etag:
        # RFC 9110 section 15.3.7: a 206 repeats the tag. Without it, the versions cannot be distinguished.
        return Verdict.CHANGED if "ETag" in headers else Verdict.WHOLE
    part = parse_content_range(headers.get("Content-Range"))
    if part is None or part.first is None or part.last is None:
        return Verdict.WHOLE
    if part.total_bytes != facts.length:
        return Verdict.CHANGED
    return Verdict.TAKE if (part.first, part.last + 1) == asked else Verdict.WHOLE


def facts_of(headers: Headers) -> Facts:
    """Return what the headers of a HEAD, or of a 200, say about the file."""
    etag = ows(headers.get("ETag", ""))
    length = digits(ows(headers.get("Content-Length", "")), max_chars=18)
    return Facts(
        length=length,
        etag=etag if is_strong_tag(etag) else None,
        has_ranges="bytes" in [ows(unit).lower() for unit in headers.get("Accept-Ranges", "").split(",")],
    )


def delay_seconds(attempt: int, jitter: float) -> float:
    """Return the pause before an attempt (from 1). It doubles each time; `jitter` (0 to 1) spreads workers out."""
    longest: float = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1))
    return longest * (0.5 + jitter / 2)


def retry_after_seconds(headers: Headers) -> float | None:
    """Return `Retry-After` as seconds after the answer's `Date` (RFC 9110 section 10.2.3); None if not valid."""
    text = ows(headers.get("Retry-After", ""))
    seconds = digits(text, max_chars=9)
    if seconds is not None:
        return float(seconds)
    wanted, answered = parse_http_date(text or None), parse_http_date(headers.get("Date"))
    return max(0.0, (wanted - answered).total_seconds()) if wanted is not None and answered is not None else None
