"""Single fields of file objects: checks them and converts them for requests, or raises `FileObjectInvalid` (pure)."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from provider.errors import FileObjectInvalid
from provider.wire.text import TOKEN

MALFORMED = "malformed file object."
MISSING = "malformed service files, missing required keys."

# Real URLs and header sets have a few KiB. Origins refuse more than 8-16 KiB themselves.
_MAX_URL_CHARS = 16 * 1024
_MAX_HEADERS_CHARS = 32 * 1024
# A CIDv1 of sha2-512 in base32 has 112. A path below it may be as long as a URL's.
_MAX_ID_CHARS = 128
_MAX_ID_PATH_CHARS = 4096
# limits.h of Linux: PATH_MAX, NAME_MAX.
_MAX_PATH_BYTES = 4095
_MAX_NAME_BYTES = 255

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# Field values may contain tabs (RFC 9110 section 5.5). CR, LF and NUL would end the line in some parser.
_HEADER_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ECHOED = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
# The alphabets of all multibase encodings of CIDs, and Arweave's base64url.
_CONTENT_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{_MAX_ID_CHARS}}}", re.ASCII)

# This proxy decides target and framing of a request (RFC 9110 sections 7.2, 7.6.1, 8.6, 10.1.1, 11.7). Publishers copy
# these fields from a browser and mean no harm, so drop them without an error.
_LEFT_OUT = frozenset(
    ("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "expect")
)

Fields = tuple[tuple[str, str], ...]


def url_text(value: object) -> str:
    """Text of a URL of any scheme. Whether it leads anywhere shows when it is opened."""
    if not isinstance(value, str):
        raise FileObjectInvalid(MALFORMED)
    url = value.strip()
    if not url:
        raise FileObjectInvalid(MISSING)
    if len(url) > _MAX_URL_CHARS or _CONTROLS.search(url):
        raise FileObjectInvalid(MALFORMED)
    return url


def http_url(value: object) -> str:
    """An http or https URL."""
    url = url_text(value)
    if not url.lower().startswith(("http://", "https://")):
        has_folder = "/" in url.rstrip("/")
        raise FileObjectInvalid(
            "Invalid file name format. It was not possible to get the file name." if has_folder else MALFORMED
        )
    return url


def method(value: object) -> str:
    """`GET` or `POST`."""
    if value is None or value == "":
        return "GET"
    if not isinstance(value, str):
        raise FileObjectInvalid(MALFORMED)
    name = value.upper()
    if name not in ("GET", "POST"):
        raise FileObjectInvalid(f"Unsafe method {echo(value)}.")
    return name


def headers(value: object) -> Fields:
    """Header fields in the publisher's order. Of names that differ only in case, the last one counts."""
    if value is None or value == "":
        return ()
    if not isinstance(value, Mapping):
        raise FileObjectInvalid(MALFORMED)
    fields: dict[str, tuple[str, str]] = {}
    for name, text in value.items():
        if not isinstance(text, str) or TOKEN.fullmatch(name) is None:
            raise FileObjectInvalid(MALFORMED)
        content = text.strip(" \t")
        if _HEADER_CONTROLS.search(content) or not _is_latin_1(content):
            raise FileObjectInvalid(MALFORMED)
        if name.lower() not in _LEFT_OUT and not name.lower().startswith("proxy-"):
            fields[name.lower()] = (name, content)
    if sum(len(name) + len(content) for name, content in fields.values()) > _MAX_HEADERS_CHARS:
        raise FileObjectInvalid(MALFORMED)
    return tuple(fields.values())


def content_path(value: object, *, missing: str) -> str:
    """A content id (CID, Arweave transaction id) with an optional path below it, percent-encoded [K31].

    It is appended to a URL that decides the target, so it must not lead elsewhere: no scheme, query, dot segment or
    escape.
    """
    if value is None or value == "":
        raise FileObjectInvalid(missing)
    if not isinstance(value, str) or len(value) > _MAX_ID_PATH_CHARS or _CONTROLS.search(value):
        raise FileObjectInvalid(MALFORMED)
    content_id, *segments = value.split("/")
    if _CONTENT_ID.fullmatch(content_id) is None or any(_leads_elsewhere(segment) for segment in segments):
        raise FileObjectInvalid(MALFORMED)
    try:
        return "/".join([content_id, *(quote(segment, safe="") for segment in segments)])
    except UnicodeError:
        raise FileObjectInvalid(MALFORMED) from None


def source_path(value: object) -> str:
    """A path below a source: names with `/` between. It is the exact bytes of a name: nothing is normalized.

    No name is empty, `.` or `..`, or has a control character or a backslash, so no system reads more than names in it.
    """
    if not isinstance(value, str) or _CONTROLS.search(value) or "\\" in value:
        raise FileObjectInvalid(MALFORMED)
    try:
        names = value.encode().split(b"/")
    except UnicodeError:
        raise FileObjectInvalid(MALFORMED) from None
    if sum(map(len, names)) + len(names) - 1 > _MAX_PATH_BYTES or any(len(name) > _MAX_NAME_BYTES for name in names):
        raise FileObjectInvalid(MALFORMED)
    if any(name in (b"", b".", b"..") for name in names):
        raise FileObjectInvalid(MALFORMED)
    return value


def own_userdata(value: object) -> Mapping[str, object] | None:
    """The publisher's own user data; None for anything but an object."""
    return value if isinstance(value, Mapping) else None


def _leads_elsewhere(segment: str) -> bool:
    return segment in (".", "..") or any(character in "?#%\\" for character in segment)


def _is_latin_1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def echo(text: str) -> str:
    """A short plain word unchanged. Anything else is not repeated to the client."""
    return text if _ECHOED.fullmatch(text) else "(not shown)"
