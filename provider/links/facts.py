"""What is known of a file without its bytes: header fields and length, learned with one small request."""

from dataclasses import dataclass, field
from hashlib import sha256

from provider.streaming.headers import DEFAULT_CONTENT_TYPE, stated
from provider.upstream.answer import Answer, Part, Unsatisfiable, Whole
from provider.upstream.file_names import guess_content_type
from provider.upstream.source import Headers, Source
from provider.upstream.validators import is_strong_date, is_strong_tag
from provider.upstream.wish import Wish

# It tells versions of one file apart, and is part of every token.
_VERSION_CHARS = 12

FIRST_BYTE = Wish(ranges="bytes=0-0")
"""What to ask for: an origin that knows ranges sends one byte."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What an origin said about a file.

    Attributes:
        headers: fields of its answer, as they would come with the whole file.
        length_bytes: length of the file; None if unknown.
        ranges: the origin answers ranges.
        url_path: path of the URL that answered, from which a name can be taken.
    """

    headers: Headers = field(repr=False)
    length_bytes: int | None
    ranges: bool
    url_path: str = field(repr=False)

    @property
    def etag(self) -> str | None:
        """The entity tag, weak or strong; None if there is none."""
        return stated(self.headers, "ETag")

    @property
    def version(self) -> str:
        """As `version_of` has it."""
        return version_of(self.headers)

    def content_type(self, name: str) -> str:
        """Media type of the file, by the origin or else by its name."""
        return stated(self.headers, "Content-Type") or guess_content_type(name) or DEFAULT_CONTENT_TYPE


def version_of(headers: Headers) -> str:
    """Short name of a version of a file, by its strong validator (RFC 9110 section 8.8.1); "" if it has none."""
    validator = headers.get("ETag")
    if validator is None:
        validator = headers.get("Last-Modified")
        is_strong = is_strong_date(validator, headers)
    else:
        is_strong = is_strong_tag(validator)
    return sha256(validator.encode()).hexdigest()[:_VERSION_CHARS] if validator and is_strong else ""


def facts_of(source: Source, answer: Answer, *, is_publishers_part: bool = False) -> FileFacts | None:
    """The facts in an answer to FIRST_BYTE; None if it is no file.

    `is_publishers_part`: the file object names a range of its own, so the answer tells nothing about FIRST_BYTE.
    """
    if is_publishers_part and isinstance(answer, Whole | Part):
        return FileFacts(_of_whole(source), None, False, source.final_url_path)
    if isinstance(answer, Part) and answer.total_bytes is not None:
        length, ranges = answer.total_bytes, True
    elif isinstance(answer, Unsatisfiable) and answer.total_bytes == 0:
        length, ranges = 0, True
    elif isinstance(answer, Whole):
        ranges = "bytes" in source.headers.tokens("Accept-Ranges")
        return FileFacts(source.headers, answer.length_bytes, ranges, source.final_url_path)
    else:
        return None
    return FileFacts(_of_whole(source, ("Accept-Ranges", "bytes")), length, ranges, source.final_url_path)


def _of_whole(source: Source, *more: tuple[str, str]) -> Headers:
    """Fields of a part's answer that the whole file has too."""
    return Headers([*((name, value) for name, value in source.headers if name.lower() not in _OF_A_PART), *more])


# These describe the part that was sent, not the file.
_OF_A_PART = frozenset(("content-length", "content-range", "accept-ranges", "transfer-encoding"))
