"""Header fields of a download reply: those passed on from the origin, and our own (pure).

`provider-api.md` section 11.5 with K29 and K30. A field not named here is not passed on, least of all a cookie.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from provider.upstream.answer import Part, Parts, Whole
from provider.upstream.file_names import (
    disposition,
    guess_content_type,
    name_in_disposition,
    name_in_path,
    with_extension,
)
from provider.upstream.source import Headers
from provider.upstream.validators import ENTITY_TAG, parse_http_date

DEFAULT_CONTENT_TYPE = "application/octet-stream"
# Browsers hide all other fields from scripts (Fetch section 3.2.6). A script needs these to resume or report a fault.
EXPOSED = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, X-Request-ID"

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_SHAPES = {
    "Accept-Ranges": re.compile(r"(?i)bytes|none"),
    "ETag": ENTITY_TAG,
    "Content-Encoding": re.compile(rf"{_NAME}(?:[ \t]*,[ \t]*{_NAME})*"),
    "Content-Type": re.compile(rf"{_NAME}/{_NAME}(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?"),
}
_LONGEST_CHARS = 256


def file_name(headers: Headers, *, url_path: str | None, fallback: Callable[[], str]) -> str:
    """Name of the downloaded file.

    The origin's Content-Disposition, else the last segment of `url_path`, else `fallback()` (32 random hex digits).
    A name without an extension gets the usual one of the content type.

    Args:
        headers: fields of the origin's answer.
        url_path: path of the configured URL, still encoded; None for kinds of files whose URL holds no name.
        fallback: makes a name.
    """
    name = name_in_disposition(headers.get("Content-Disposition"))
    if not name and url_path is not None:
        name = name_in_path(url_path)
    return with_extension(name or fallback(), headers.get("Content-Type"))


def reply_headers(headers: Headers, answer: Whole | Part | Parts, *, name: str) -> list[tuple[str, str]]:
    """Header fields of the reply that carries an origin's answer.

    Content-Length is present only if the length is known; with it the consumer's connection stays open without chunks.
    A field of the origin is passed on only if its value is well-formed.

    Args:
        headers: fields of the origin's answer.
        answer: its judgement.
        name: result of `file_name`.
    """
    content_type = stated(headers, "Content-Type") or guess_content_type(name) or DEFAULT_CONTENT_TYPE
    fields = [("Content-Type", content_type)]
    if answer.length_bytes is not None:
        fields.append(("Content-Length", str(answer.length_bytes)))
    for of_file in ("Accept-Ranges", "ETag", "Content-Encoding", "Last-Modified"):
        value = stated(headers, of_file)
        if value is not None:
            fields.append((of_file, value))
    if isinstance(answer, Part):
        fields.append(("Content-Range", answer.content_range))
    fields.append(("Content-Disposition", disposition(name)))
    fields.append(("Access-Control-Expose-Headers", EXPOSED))
    return fields


def validator_headers(headers: Headers) -> list[tuple[str, str]]:
    """Fields of a 304, by which the consumer recognises its copy (RFC 9110 section 15.4.5)."""
    fields = [(name, stated(headers, name)) for name in ("ETag", "Last-Modified")]
    return [(name, value) for name, value in fields if value is not None]


def stated(headers: Headers, name: str) -> str | None:
    """The origin's value of this field; None if it is absent or malformed."""
    value = headers.get(name)
    if value is None or len(value) > _LONGEST_CHARS or not _is_well_formed(name, value):
        return None
    return value


@lru_cache(maxsize=1024)
def _is_well_formed(name: str, value: str) -> bool:
    shape = _SHAPES.get(name)
    return shape.fullmatch(value) is not None if shape is not None else parse_http_date(value) is not None
