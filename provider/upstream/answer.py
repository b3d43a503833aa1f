"""Decides what an origin's answer is, compared with the request: one decision for every kind of file (pure).

RFC 9110 sections 13.2.2, 14 and 15.3.7. A part is accepted only if it is exactly the requested part. The numbers found
here are what the relay must deliver.
"""

from dataclasses import dataclass
from typing import ClassVar

from provider.upstream.ranges import ContentRange, parse_content_range
from provider.upstream.source import Headers, Source
from provider.upstream.wish import Wish
from provider.wire.text import ows


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole file. `length_bytes`: None if unknown."""

    length_bytes: int | None
    status: ClassVar[int] = 200


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `first` to `last`, inclusive. `total_bytes`: length of the whole file, None if unknown."""

    first: int
    last: int
    total_bytes: int | None
    status: ClassVar[int] = 206

    @property
    def length_bytes(self) -> int:
        """Length of the body."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """Value of `Content-Range`."""
        return f"bytes {self.first}-{self.last}/{'*' if self.total_bytes is None else self.total_bytes}"


@dataclass(frozen=True, slots=True)
class Parts:
    """Several parts as `multipart/byteranges`, each with its own Content-Range."""

    length_bytes: int | None
    status: ClassVar[int] = 206


@dataclass(frozen=True, slots=True)
class NotModified:
    """The consumer already has this version."""

    status: ClassVar[int] = 304


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """The file is not the version that the consumer requires."""

    status: ClassVar[int] = 412


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The range lies beyond the end of a file of `total_bytes`."""

    total_bytes: int | None
    status: ClassVar[int] = 416


@dataclass(frozen=True, slots=True)
class AskWhole:
    """The origin ignored a condition, or sent nothing to compare with it: request the whole file instead."""

    status: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """No file, or another part than the requested one. `detail` gives the reason for the log."""

    detail: str
    status: ClassVar[int] = 0


Answer = Whole | Part | Parts | NotModified | PreconditionFailed | Unsatisfiable | AskWhole | Refused


def answer_of(wish: Wish, source: Source) -> Answer:
    """Judge an open source, and hold its body to the length that was found."""
    answer = judge(wish, source.status, source.headers, source.length_bytes)
    if source.length_bytes is None and isinstance(answer, Whole | Part) and answer.length_bytes is not None:
        source.expect(answer.length_bytes)
    return answer


def judge(wish: Wish, status: int, headers: Headers, length_bytes: int | None) -> Answer:
    """Judge an answer by its status and header fields.

    Conditions are decided here even if the origin claims to have checked them: it may have ignored them.

    Args:
        wish: what was asked.
        length_bytes: length of the body by its framing, None if unknown.
    """
    if status == 200:
        found: Answer = Whole(length_bytes)
    elif status == 206:
        found = _partial(wish.ranges, headers, length_bytes)
    else:
        return _without_file(wish, status, headers)
    if wish.preconditions is not None and not isinstance(found, Refused):
        decision = wish.preconditions.decide(headers)
        if decision is not None:
            return NotModified() if decision == "not_modified" else PreconditionFailed()
    if isinstance(found, Part | Parts) and not wish.version_holds(headers):
        return AskWhole()
    return found


def whole_instead(wish: Wish, first_status: int, source: Source) -> Answer:
    """Judge `source`, the answer to a request for the whole file that followed an `AskWhole`.

    If the first answer was a 416 and this is the wanted version, the range really lies beyond the end.
    """
    answer = answer_of(wish.whole(), source)
    if first_status == 416 and isinstance(answer, Whole) and wish.version_holds(source.headers):
        return Unsatisfiable(answer.length_bytes)
    return answer


def _without_file(wish: Wish, status: int, headers: Headers) -> Answer:
    conditions = wish.preconditions
    if status == 416 and wish.ranges is not None and not wish.of_file_object:
        # A 416 carries no validator, so no condition can be compared with it.
        if wish.if_range is not None or conditions is not None:
            return AskWhole()
        stated = content_range_of(headers)
        return Unsatisfiable(stated.total_bytes if stated is not None and stated.first is None else None)
    if status == 304 and conditions is not None and conditions.may_be_unmodified:
        return NotModified()
    if status == 412 and conditions is not None and conditions.may_fail:
        return PreconditionFailed()
    return Refused(f"the origin answered {status}")


def _partial(ranges: str | None, headers: Headers, length_bytes: int | None) -> Answer:
    if ows(headers.get("Content-Type") or "").lower().startswith("multipart/byteranges"):
        # RFC 9110 section 15.3.7.2: only if several ranges were requested, and without a Content-Range for the whole.
        is_due = ranges is not None and "," in ranges and "Content-Range" not in headers
        return Parts(length_bytes) if is_due else Refused("the origin answered with several parts where one was due")
    stated = content_range_of(headers)
    if stated is None or stated.first is None or stated.last is None:
        return Refused("the origin answered 206 without saying which part it is")
    part = Part(stated.first, stated.last, stated.total_bytes)
    if length_bytes is not None and length_bytes != part.length_bytes:
        return Refused("the origin's Content-Range contradicts the length of its answer")
    return _as_whole(part) if ranges is None else _as_wanted(part, ranges)


def _as_whole(part: Part) -> Whole | Refused:
    """An unrequested part is acceptable only if it is the whole file."""
    if part.first == 0 and part.total_bytes == part.length_bytes:
        return Whole(part.total_bytes)
    return Refused("the origin answered with a part where the whole was due")


def _as_wanted(part: Part, ranges: str) -> Part | Refused:
    firsts, lasts = _selected(ranges, part.total_bytes)
    if part.first not in firsts or part.last not in lasts:
        return Refused("the origin answered with another part than the one asked for")
    return part


def _selected(ranges: str, total_bytes: int | None) -> tuple[set[int], set[int]]:
    """First and last bytes that `ranges` selects from a file of this length. An origin may join several into one part.

    If the length is unknown, the end of an open range and the start of a suffix cannot be checked.
    """
    firsts, lasts = set(), set()
    for part in ranges.removeprefix("bytes=").split(","):
        first_text, _, last_text = part.partition("-")
        if total_bytes is None:
            if first_text and last_text:
                firsts.add(int(first_text))
                lasts.add(int(last_text))
            continue
        firsts.add(int(first_text) if first_text else max(0, total_bytes - int(last_text)))
        lasts.add(min(int(last_text), total_bytes - 1) if first_text and last_text else total_bytes - 1)
    return firsts, lasts


def content_range_of(headers: Headers) -> ContentRange | None:
    """The Content-Range of an answer. None if it is missing, malformed, or repeated with different values."""
    values = set(headers.get_all("Content-Range"))
    return parse_content_range(values.pop()) if len(values) == 1 else None
