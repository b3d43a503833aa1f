"""What a consumer asks of a file: a range, and the conditions of RFC 9110 section 13 (pure).

A `Range` and its `If-Range` form one value, so that neither can reach an origin without the other.
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

# The request fields that make a wish, spelled as `HTTPHeaders` stores them.
_READ = frozenset(("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"))
# Longer lists of tags are compared here and not sent, since origins limit their heads to a few KiB.
_MAX_SENT_CHARS = 2048
_TAGS = re.compile(rf"[ \t]*(?:({ENTITY_TAG.pattern})[ \t]*)?(?:,|$)")


@dataclass(frozen=True, slots=True)
class Tags:
    """Value of If-Match or If-None-Match. `any_tag`: it was `*`. `tags`: entity tags, none if malformed."""

    tags: tuple[str, ...] = ()
    any_tag: bool = False

    def match_strongly(self, etag: str | None) -> bool:
        """True if the tags are equal and neither is weak (RFC 9110 section 8.8.3.2)."""
        return self.any_tag or (etag is not None and is_strong_tag(etag) and etag in self.tags)

    def match_weakly(self, etag: str | None) -> bool:
        """True if the tags are equal apart from `W/`."""
        if self.any_tag or etag is None:
            return self.any_tag
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in self.tags]

    @property
    def text(self) -> str:
        """The value to send to an origin; empty if there is nothing to send.

        `*` is not sent: the status alone decides it, and some stores compare it with their tag.
        """
        text = ", ".join(self.tags)
        return text if len(text) <= _MAX_SENT_CHARS else ""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Conditions on the whole answer. A tag overrides the date beside it, so each pair has at most one member."""

    if_match: Tags | None = None
    if_unmodified_since: datetime | None = None
    if_none_match: Tags | None = None
    if_modified_since: datetime | None = None

    @property
    def may_fail(self) -> bool:
        """True if 412 is a valid answer."""
        return self.if_match is not None or self.if_unmodified_since is not None

    @property
    def may_be_unmodified(self) -> bool:
        """True if 304 is a valid answer."""
        return self.if_none_match is not None or self.if_modified_since is not None

    def decide(self, headers: Headers) -> Decision | None:
        """Evaluate the conditions on the origin's fields, in the order of RFC 9110 section 13.2.2. None if all hold.

        Without `Last-Modified` there is no date to compare, so both date conditions are ignored.
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
        """Fields to send to an origin, so that it can decide by itself."""
        tags = (("If-Match", self.if_match), ("If-None-Match", self.if_none_match))
        dates = (("If-Unmodified-Since", self.if_unmodified_since), ("If-Modified-Since", self.if_modified_since))
        sent = [(name, value.text) for name, value in tags if value is not None and value.text]
        sent += [(name, http_date_text(date)) for name, date in dates if date is not None]
        return tuple(sent)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a consumer asks of a file.

    Attributes:
        ranges: the set of ranges in normal form; None for the whole file.
        if_range: a part is useful only of this version: a strong tag, or a date in the preferred form.
        preconditions: conditions on the whole answer.
        of_file_object: the range is the publisher's, which overrides the consumer's (`provider-api.md` section 11.5).
    """

    ranges: str | None = None
    if_range: str | None = None
    preconditions: Preconditions | None = None
    of_file_object: bool = False

    @property
    def range_fields(self) -> Fields:
        """`Range` and `If-Range` to send to an origin. A publisher's own range is in the file object already."""
        if self.ranges is None or self.of_file_object:
            return ()
        sent: Fields = (("Range", self.ranges),)
        return sent if self.if_range is None else (*sent, ("If-Range", self.if_range))

    @property
    def fields(self) -> Fields:
        """All fields to send with a GET."""
        return self.range_fields if self.preconditions is None else self.range_fields + self.preconditions.fields

    def version_holds(self, headers: Headers) -> bool:
        """True if this answer is of the version that `if_range` names. Many origins ignore that field, so compare here.

        The comparison is strong: a date counts only if it is well before the answer (RFC 9110 section 13.1.5).
        """
        wanted = self.if_range
        if wanted is None:
            return True
        if wanted.startswith('"'):
            return headers.get("ETag") == wanted
        modified = headers.get("Last-Modified")
        return parse_http_date(modified) == parse_http_date(wanted) and is_strong_date(modified, headers)

    def whole(self) -> "Wish":
        """This wish without a range."""
        return replace(self, ranges=None, if_range=None)

    def of(self, own: Iterable[tuple[str, str]]) -> "Wish":
        """This wish for a file object with these header fields. Its own range overrides the consumer's."""
        for name, value in own:
            if name.lower() == "range":
                return replace(self, ranges=passable_range(value), if_range=None, of_file_object=True)
        return self


NO_WISH = Wish()


def read_wish(headers: Mapping[str, str]) -> Wish:
    """Read the wish from a consumer's header fields. Malformed fields are ignored; a malformed If-Match fails."""
    if _READ.isdisjoint(headers):
        return NO_WISH
    ranges, if_range = _read_range(headers.get("Range"), headers.get("If-Range"))
    return Wish(ranges, if_range, _read_preconditions(headers))


def _read_range(wanted: str | None, condition: str | None) -> tuple[str | None, str | None]:
    """Read range and If-Range. If the condition can never hold, the range is ignored (RFC 9110 section 13.1.5)."""
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
