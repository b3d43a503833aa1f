"""What a consumer asks of a file beside its name: a range, and the conditions of RFC 9110 section 13 (pure).

A `Range` and its `If-Range` are one value here, so that neither reaches an origin without the other.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from provider.upstream.ranges import passable_range
from provider.upstream.source import Headers
from provider.upstream.validators import (
    ENTITY_TAG,
    http_date_text,
    is_strong_date,
    is_strong_tag,
    parse_http_date,
)

Fields = tuple[tuple[str, str], ...]
Decision = Literal["not_modified", "failed"]

# What of a request this value is made of, in the form in which `HTTPHeaders` holds names.
_READ = frozenset(("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"))
# Longer lists of tags are compared here and not sent: origins limit their heads to some KiB.
_MAX_SENT_CHARS = 2048
_TAGS = re.compile(rf"[ \t]*(?:({ENTITY_TAG.pattern})[ \t]*)?(?:,|$)")


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of If-Match or If-None-Match: `any_tag` for `*`, else entity tags; none of them when malformed."""

    tags: tuple[str, ...] = ()
    any_tag: bool = False

    def match_strongly(self, etag: str | None) -> bool:
        """RFC 9110 section 8.8.3.2: equal, and neither is weak."""
        return self.any_tag or (etag is not None and is_strong_tag(etag) and etag in self.tags)

    def match_weakly(self, etag: str | None) -> bool:
        """Equal but for `W/`."""
        if self.any_tag or etag is None:
            return self.any_tag
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in self.tags]

    @property
    def text(self) -> str:
        """As an origin is sent it; empty when there is nothing to send.

        `*` is decided by the status alone, and some stores compare it with their tag.
        """
        text = ", ".join(self.tags)
        return text if len(text) <= _MAX_SENT_CHARS else ""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Conditions on the whole answer, at most one of each pair: a tag makes the date beside it count for nothing."""

    if_match: Tags | None = None
    if_unmodified_since: datetime | None = None
    if_none_match: Tags | None = None
    if_modified_since: datetime | None = None

    @property
    def may_fail(self) -> bool:
        """Is 412 an answer to them?"""
        return self.if_match is not None or self.if_unmodified_since is not None

    @property
    def may_be_unmodified(self) -> bool:
        """Is 304 an answer to them?"""
        return self.if_none_match is not None or self.if_modified_since is not None

    def decide(self, headers: Headers) -> Decision | None:
        """In the order of RFC 9110 section 13.2.2, on what the origin sends; None when all of them hold.

        A file without `Last-Modified` has no date to compare: both conditions on it are ignored then.
        """
        etag, modified = headers.get("ETag"), parse_http_date(headers.get("Last-Modified"))
        if self.if_match is not None:
            if not self.if_match.match_strongly(etag):
                return "failed"
        elif self.if_unmodified_since is not None and modified is not None and modified > self.if_unmodified_since:
            return "failed"
        if self.if_none_match is not None:
            return "not_modified" if self.if_none_match.match_weakly(etag) else None
        if self.if_modified_since is not None and modified is not None and modified <= self.if_modified_since:
            return "not_modified"
        return None

    @property
    def fields(self) -> Fields:
        """What an origin is asked, so that it may decide itself."""
        tags = (("If-Match", self.if_match), ("If-None-Match", self.if_none_match))
        dates = (("If-Unmodified-Since", self.if_unmodified_since), ("If-Modified-Since", self.if_modified_since))
        sent = [(name, value.text) for name, value in tags if value is not None and value.text]
        sent += [(name, http_date_text(date)) for name, date in dates if date is not None]
        return tuple(sent)


@dataclass(frozen=True, slots=True)
class Wish:
    """`ranges`: the wanted range set in its normal form, None for the whole file. `if_range`: the strong tag, or the
    date in its usual form, of the only version of which a part is of use. `of_file_object`: the range is the
    publisher's, who wins over the consumer (`provider-api.md` section 11.5).
    """

    ranges: str | None = None
    if_range: str | None = None
    preconditions: Preconditions | None = None
    of_file_object: bool = False

    @property
    def range_fields(self) -> Fields:
        """`Range` and `If-Range` as an origin is sent them; a publisher's own are in the file object."""
        if self.ranges is None or self.of_file_object:
            return ()
        sent: Fields = (("Range", self.ranges),)
        return sent if self.if_range is None else (*sent, ("If-Range", self.if_range))

    @property
    def fields(self) -> Fields:
        """Everything that an origin is asked by GET."""
        return self.range_fields if self.preconditions is None else self.range_fields + self.preconditions.fields

    def version_holds(self, headers: Headers) -> bool:
        """Is this answer of the version that `if_range` names? Many origins ignore the field, so it is compared here.

        Strongly: a date counts only when it was well before the answer (RFC 9110 section 13.1.5).
        """
        wanted = self.if_range
        if wanted is None:
            return True
        if wanted.startswith('"'):
            return headers.get("ETag") == wanted
        modified = headers.get("Last-Modified")
        return parse_http_date(modified) == parse_http_date(wanted) and is_strong_date(modified, headers)

    def whole(self) -> "Wish":
        """The same without a range."""
        return replace(self, ranges=None, if_range=None)

    def of(self, own: Iterable[tuple[str, str]]) -> "Wish":
        """The same for a file object with these header fields of its own."""
        for name, value in own:
            if name.lower() == "range":
                return replace(self, ranges=passable_range(value), if_range=None, of_file_object=True)
        return self


NO_WISH = Wish()


def read_wish(headers: Mapping[str, str]) -> Wish:
    """The wish in a consumer's header fields. What is malformed is left out, but an If-Match, which then fails."""
    if _READ.isdisjoint(headers):
        return NO_WISH
    ranges, if_range = _read_range(headers.get("Range"), headers.get("If-Range"))
    return Wish(ranges, if_range, _read_preconditions(headers))


def _read_range(wanted: str | None, condition: str | None) -> tuple[str | None, str | None]:
    """A condition that can never hold makes the range be ignored (RFC 9110 section 13.1.5)."""
    ranges = passable_range(wanted)
    if ranges is None or condition is None:
        return ranges, None
    if is_strong_tag(condition):
        return ranges, condition
    date = parse_http_date(condition)
    return (ranges, http_date_text(date)) if date is not None else (None, None)


def _read_preconditions(headers: Mapping[str, str]) -> Preconditions | None:
    match, none_match = _read_tags(headers.get("If-Match")), _read_tags(headers.get("If-None-Match"))
    found = Preconditions(
        if_match=match,
        if_unmodified_since=parse_http_date(headers.get("If-Unmodified-Since")) if match is None else None,
        if_none_match=none_match,
        if_modified_since=parse_http_date(headers.get("If-Modified-Since")) if none_match is None else None,
    )
    return found if found.may_fail or found.may_be_unmodified else None


def _read_tags(text: str | None) -> Tags | None:
    if text is None:
        return None
    if text.strip(" \t") == "*":
        return Tags(any_tag=True)
    tags, position = [], 0
    while position < len(text):
        match = _TAGS.match(text, position)
        if match is None:
            return Tags()
        if match[1]:
            tags.append(match[1])
        position = match.end()
    return Tags(tuple(tags))
