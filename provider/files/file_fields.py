"""Single fields of file objects: checked, in the form that requests need, or `FileObjectInvalid` (pure)."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from provider.errors import FileObjectInvalid

MALFORMED = "malformed file object."
MISSING = "malformed service files, missing required keys."

# Real URLs and header sets are a few KiB; origins refuse more than 8-16 KiB themselves.
_MAX_URL_CHARS = 16 * 1024
_MAX_HEADERS_CHARS = 32 * 1024
# A CIDv1 of sha2-512 in base32 has 112; paths below one are as long as paths in URLs.
_MAX_ID_CHARS = 128
_MAX_ID_PATH_CHARS = 4096

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# Field values may hold tabs (RFC 9110 section 5.5); CR, LF and NUL would end the line in some parser.
_HEADER_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # token, RFC 9110 section 5.6.2
_ECHOED = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
# Alphabets of all multibase encodings of CIDs, and base64url of Arweave.
_CONTENT_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{_MAX_ID_CHARS}}}", re.ASCII)

# Where a request goes and how it is framed are ours to say (RFC 9110 sections 7.2, 7.6.1, 8.6, 10.1.1, 11.7).
# Publishers who copy them from a browser mean no harm, so they are left out rather than refused.
_LEFT_OUT = frozenset(
    ("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "expect")
)

Fields = tuple[tuple[str, str], ...]


def url_text(value: object) -> str:
    """Text of a URL of any scheme; whether it leads anywhere is found out when it is opened."""
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
    """Header fields in the publisher's order; of names that differ in case only, the last one counts."""
    if value is None or value == "":
        return ()
    if not isinstance(value, Mapping):
        raise FileObjectInvalid(MALFORMED)
    fields: dict[str, tuple[str, str]] = {}
    for name, text in value.items():
        if not isinstance(text, str) or _HEADER_NAME.fullmatch(name) is None:
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
    """A content id (CID, Arweave transaction id), with the path of a file below it if any, percent-encoded [K31].

    What it is appended to decides where the request goes, so nothing in it may lead elsewhere: no scheme, query,
    dot segment or escape.
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


def own_userdata(value: object) -> Mapping[str, object] | None:
    """The publisher's own user data, None for anything but an object."""
    return value if isinstance(value, Mapping) else None


def _leads_elsewhere(segment: str) -> bool:
    return segment in (".", "..") or any(character in "?#%\\" for character in segment)


def _is_latin_1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def echo(text: str) -> str:
    """A short plain word as it is; anything else is not repeated to the client."""
    return text if _ECHOED.fullmatch(text) else "(not shown)"
