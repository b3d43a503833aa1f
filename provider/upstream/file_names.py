"""File names from URLs and headers written by strangers, made safe for a header and a file system (pure)."""

import mimetypes
import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote, unquote

from provider.wire.text import TOKEN, ows

# Longest name on common file systems (NAME_MAX), in bytes of UTF-8.
MAX_NAME_BYTES = 255

# Characters that end a header parameter, quote, or lead to another folder or stream, on any system.
_UNSAFE = re.compile(r"[\"'`;<>:|?*]")
_EXTENDED = re.compile(r"(?ai)(?:^|;)\s*filename\*\s*=\s*([\w!#$%&+^`{}~-]+)'[^';]*'([^\s;]+)")
_PLAIN = re.compile(r"(?ai)(?:^|;)\s*filename\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;\"]+)")
_LONGEST_EXTENSION = 16
# Nearly all names look like this and need no change.
_HARMLESS = re.compile(r"[A-Za-z0-9_.-]{1,255}")

# Allowed unescaped in the extended form (RFC 8187 section 3.2.1), besides letters and digits.
_ATTR_CHARS = "!#$&+-.^_`|~"

# Python's built-in types, so that results do not depend on the machine's own tables, and some data formats.
_types = mimetypes.MimeTypes()
for _extension, _type in {
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
    ".geojson": "application/geo+json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/jsonl",
    ".zarr": "application/vnd.zarr",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".nc": "application/x-netcdf",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
}.items():
    _types.add_type(_type, _extension)
# An ending of this kind means that the file is a compressed container of the other type.
_OF_CODING = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}
# A browser would run such a file as a page of this site.
_PAGES = frozenset(("text/html", "application/xhtml+xml"))


def name_in_path(path: str) -> str:
    """Safe name from the last segment of a percent-encoded URL path; may be empty. The query is never used (K30)."""
    return safe_name(unquote(path.rpartition("/")[2]))


def name_in_disposition(value: str | None) -> str:
    """Safe name from a `Content-Disposition` value decoded as latin-1 (RFC 6266 section 4.3); may be empty.

    `filename*` wins over `filename`. Raw UTF-8 in `filename` is understood, as in browsers.
    """
    if value is None:
        return ""
    extended = _EXTENDED.search(value)
    if extended is not None and extended[1].lower() in ("utf-8", "iso-8859-1"):
        return safe_name(unquote(extended[2], encoding=extended[1]))
    plain = _PLAIN.search(value)
    if plain is None:
        return ""
    text = ows(plain[1])
    if text.startswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        text = text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    return safe_name(text)


def safe_name(text: str) -> str:
    """Remove folders, control and format characters, quotes and separators from a name; may return an empty string.

    The result has at most 255 bytes of UTF-8 and keeps its extension.
    """
    if _HARMLESS.fullmatch(text):
        return text if text.strip(".") else ""
    name = re.split(r"[/\\]", text)[-1]
    name = "".join(char for char in name if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    name = _UNSAFE.sub("", name).strip()
    if not name.strip("."):
        return ""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > _LONGEST_EXTENSION:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + dot + extension


def with_extension(name: str, content_type: str | None) -> str:
    """Append the usual extension of a media type to a name that has none (`provider-api.md` 11.5)."""
    media_type = ows((content_type or "").partition(";")[0]).lower()
    if "." in name.strip(".") or not media_type:
        return name
    return name + (_types.guess_extension(media_type) or "")


@lru_cache(maxsize=1024)
def guess_content_type(name: str) -> str | None:
    """Media type for the name's extension; None if unknown, or if a browser would show it as a page."""
    guessed, coding = _types.guess_type("file/" + name)
    if coding is not None:
        return _OF_CODING.get(coding)
    return guessed if guessed not in _PAGES else None


@lru_cache(maxsize=1024)
def disposition(name: str) -> str:
    """Value of `Content-Disposition` for a safe name (RFC 6266): a token, else quoted; non-ASCII also in extended form.

    wire: no space, and a bare token at the end, because clients extract it with `attachment;filename=(.+)`.
    """
    if TOKEN.fullmatch(name):
        return f"attachment;filename={name}"
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace("\\", "\\\\").replace('"', '\\"')
    if name.isascii():
        return f'attachment;filename="{plain}"'
    extended = quote(name.encode("utf-8", "ignore"), safe=_ATTR_CHARS)
    return f"attachment;filename=\"{plain}\";filename*=UTF-8''{extended}"
