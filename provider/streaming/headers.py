"""Headers of a download reply: what passes from the origin, and what is ours to say (pure).

`provider-api.md` section 11.5 with K29 and K30. Anything not named here stays with the origin, cookies above all.
"""

from collections.abc import Callable

from provider.upstream.content_range import parse_content_range
from provider.upstream.file_names import guess_content_type, name_in_disposition, name_in_path, with_extension
from provider.upstream.source import Source

# Describe the bytes as the origin stores them: true only of an unchanged body.
_OF_UNCHANGED_BODY = ("Accept-Ranges", "ETag", "Content-Encoding")
_DEFAULT_CONTENT_TYPE = "text/html; charset=utf-8"
# Browsers hide these from scripts otherwise; a script that resumes a download needs them.
_EXPOSED_FOR_RANGES = "Content-Disposition, Content-Range, Accept-Ranges, ETag"


def file_name(source: Source, *, url_path: str | None, fallback: Callable[[], str]) -> str:
    """Name of the downloaded file.

    The origin's Content-Disposition, else the last segment of `url_path` (the configured URL's, still encoded; None
    for kinds of files whose URL says nothing), else `fallback()` (32 random hex digits). The usual extension of the
    content type is appended when there is none.
    """
    name = name_in_disposition(source.headers.get("Content-Disposition"))
    if not name and url_path is not None:
        name = name_in_path(url_path)
    return with_extension(name or fallback(), source.headers.get("Content-Type"))


def reply_headers(source: Source, *, name: str) -> list[tuple[str, str]]:
    """Header fields of the reply that carries `source` to the consumer; `name` as `file_name` gives it.

    Content-Length is there only when the length is known, which is what keeps the consumer's connection alive
    without chunks.
    """
    fields = [("Content-Type", source.headers.get("Content-Type") or guess_content_type(name) or _DEFAULT_CONTENT_TYPE)]
    if source.length_bytes is not None and source.status not in (204, 304):
        fields.append(("Content-Length", str(source.length_bytes)))
    if source.unchanged:
        fields += _present(source, _OF_UNCHANGED_BODY)
        if source.status in (206, 416) and _range_is_plausible(source):
            fields += _present(source, ("Content-Range",))
    fields += _present(source, ("Last-Modified",))
    if source.status != 416:
        # wire: no space, no quotes, nothing after the name: clients cut it out with `attachment;filename=(.+)`.
        fields.append(("Content-Disposition", f"attachment;filename={_as_field_text(name)}"))
    partial = source.status in (206, 416)
    fields.append(("Access-Control-Expose-Headers", _EXPOSED_FOR_RANGES if partial else "Content-Disposition"))
    return fields


def _present(source: Source, names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, value) for name in names if (value := source.headers.get(name)) is not None]


def _range_is_plausible(source: Source) -> bool:
    """False when Content-Range and the body's length contradict each other (RFC 9110 section 15.3.7.3)."""
    stated = parse_content_range(source.headers.get("Content-Range"))
    if stated is None:
        return False
    if stated.first is None or stated.last is None or source.length_bytes is None:
        return True
    return stated.last - stated.first + 1 == source.length_bytes


def _as_field_text(name: str) -> str:
    """UTF-8 octets as the latin-1 text that header fields are written from (RFC 9110 section 5.5, obs-text)."""
    return name.encode("utf-8", "ignore").decode("latin-1")
