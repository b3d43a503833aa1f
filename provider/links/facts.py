"""The facts of a file that need no reading: its header fields and length, from one small request."""

from dataclasses import dataclass, field
from hashlib import sha256

from provider.streaming.headers import DEFAULT_CONTENT_TYPE, stated
from provider.upstream.answer import Answer, Part, Unsatisfiable, Whole
from provider.upstream.file_names import guess_content_type
from provider.upstream.source import Headers, Source
from provider.upstream.validators import is_strong_date, is_strong_tag
from provider.upstream.wish import Wish

# This length distinguishes the versions of one file, and is part of every token.
_VERSION_CHARS = 12

# The fields that describe the whole file, not the part that was sent or the connection.
_KEPT = frozenset(("content-type", "content-encoding", "content-disposition", "etag", "last-modified", "date"))
_MAX_KEPT_CHARS = 2048

FIRST_BYTE = Wish(ranges="bytes=0-0")
"""What to ask for: an origin that knows ranges sends one byte."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What an origin said about a file.

    Attributes:
        headers: fields of its answer that a reply is made from, as they would come with the whole file.
        length_bytes: length of the file; None if unknown.
        ranges: the origin answers ranges.
    """

    headers: Headers = field(repr=False)
    length_bytes: int | None
    ranges: bool

    @property
    def etag(self) -> str | None:
        """The entity tag, weak or strong; None if there is none."""
        return stated(self.headers, "ETag")

    @property
    def version(self) -> str:
        """The version, as `version_of` returns it."""
        return version_of(self.headers)

    def content_type(self, name: str) -> str:
        """The media type of the file, from the origin or else from its name."""
        return stated(self.headers, "Content-Type") or guess_content_type(name) or DEFAULT_CONTENT_TYPE


def version_of(headers: Headers) -> str:
    """Return a short name of a file's version, made from its strong validator (RFC 9110 section 8.8.1); "" if none."""
    validator = headers.get("ETag")
    if validator is None:
        validator = headers.get("Last-Modified")
        is_strong = is_strong_date(validator, headers)
    else:
        is_strong = is_strong_tag(validator)
    return sha256(validator.encode()).hexdigest()[:_VERSION_CHARS] if validator and is_strong else ""


def facts_of(source: Source, answer: Answer, *, is_publishers_part: bool = False) -> FileFacts | None:
    """Return the facts in an answer to FIRST_BYTE; None if it is no file.

    `is_publishers_part`: the file object itself names a range, so the answer says nothing about FIRST_BYTE.
    """
    headers = source.headers
    if is_publishers_part and isinstance(answer, Whole | Part):
        return FileFacts(_kept(headers, ranges=None), None, ranges=False)
    if isinstance(answer, Part) and answer.total_bytes is not None:
        return FileFacts(_kept(headers, ranges="bytes"), answer.total_bytes, ranges=True)
    if isinstance(answer, Unsatisfiable) and answer.total_bytes == 0:
        return FileFacts(_kept(headers, ranges="bytes"), 0, ranges=True)
    if isinstance(answer, Whole):
        kept = _kept(headers, ranges=headers.get("Accept-Ranges"))
        return FileFacts(kept, answer.length_bytes, ranges="bytes" in headers.tokens("Accept-Ranges"))
    return None


def _kept(headers: Headers, *, ranges: str | None) -> Headers:
    """Return the fields from which replies and versions are made, with this `Accept-Ranges`.

    If they are too long, return none: facts of many files are kept, and anybody can be a publisher.
    """
    kept = [(name, value) for name, value in headers if name.lower() in _KEPT]
    if ranges is not None:
        kept.append(("Accept-Ranges", ranges))
    return Headers(kept if sum(len(value) for _, value in kept) <= _MAX_KEPT_CHARS else ())
