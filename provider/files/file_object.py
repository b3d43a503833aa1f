"""One decrypted file object, checked and typed (pure; `provider-api.md` section 11.1).

Raw JSON in, a frozen value out. The value holds a publisher's secrets: nothing of it is in `repr` or in texts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.errors import FileObjectInvalid

_MALFORMED = "malformed file object."
_MISSING = "malformed service files, missing required keys."

# Real URLs and header sets are a few KiB; origins refuse more than 8-16 KiB themselves.
_MAX_URL_CHARS = 16 * 1024
_MAX_HEADERS_CHARS = 32 * 1024

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# Field values may hold tabs (RFC 9110 section 5.5); CR, LF and NUL would end the line in some parser.
_HEADER_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # token, RFC 9110 section 5.6.2
_ECHOED = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)

# Where a request goes and how it is framed are ours to say (RFC 9110 sections 7.2, 7.6.1, 8.6, 10.1.1, 11.7).
# Publishers who copy them from a browser mean no harm, so they are left out rather than refused.
_LEFT_OUT = frozenset(
    ("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "expect")
)


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file behind an http or https URL. `method` is GET or POST; `userdata` is the publisher's own, if any."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    userdata: Mapping[str, object] | None = field(default=None, repr=False)

    @property
    def type(self) -> str:
        """Name of the type on the wire."""
        return "url"


def parse_file_object(raw: object) -> UrlFile:
    """A file object of a known type. Raises FileObjectInvalid with the documented text of its first fault."""
    if not raw:
        raise FileObjectInvalid("cannot decrypt files for this service.")
    if not isinstance(raw, Mapping):
        raise FileObjectInvalid(_MALFORMED)
    kind = raw.get("type")
    if kind == "url":
        return _url_file(raw)
    if not isinstance(kind, str):
        raise FileObjectInvalid(_MALFORMED)
    raise FileObjectInvalid(f"Unsupported type {_echo(kind)}")


def _url_file(raw: Mapping[str, object]) -> UrlFile:
    url = raw.get("url")
    if not url:
        raise FileObjectInvalid(_MISSING)
    userdata = raw.get("userdata")
    return UrlFile(
        url=_url(url),
        method=_method(raw.get("method")),
        headers=_headers(raw.get("headers")),
        userdata=userdata if isinstance(userdata, Mapping) else None,
    )


def _url(value: object) -> str:
    """The URL's text; whether it leads anywhere is found out when it is opened."""
    if not isinstance(value, str):
        raise FileObjectInvalid(_MALFORMED)
    url = value.strip()
    if not url:
        raise FileObjectInvalid(_MISSING)
    if len(url) > _MAX_URL_CHARS or _CONTROLS.search(url):
        raise FileObjectInvalid(_MALFORMED)
    if not url.lower().startswith(("http://", "https://")):
        has_folder = "/" in url.rstrip("/")
        raise FileObjectInvalid(
            "Invalid file name format. It was not possible to get the file name." if has_folder else _MALFORMED
        )
    return url


def _method(value: object) -> str:
    if value is None or value == "":
        return "GET"
    if not isinstance(value, str):
        raise FileObjectInvalid(_MALFORMED)
    method = value.upper()
    if method not in ("GET", "POST"):
        raise FileObjectInvalid(f"Unsafe method {_echo(value)}.")
    return method


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    """Header fields in the publisher's order; of names that differ in case only, the last one counts."""
    if value is None or value == "":
        return ()
    if not isinstance(value, Mapping):
        raise FileObjectInvalid(_MALFORMED)
    fields: dict[str, tuple[str, str]] = {}
    for name, text in value.items():
        if not isinstance(text, str) or _HEADER_NAME.fullmatch(name) is None:
            raise FileObjectInvalid(_MALFORMED)
        content = text.strip(" \t")
        if _HEADER_CONTROLS.search(content) or not _is_latin_1(content):
            raise FileObjectInvalid(_MALFORMED)
        if name.lower() not in _LEFT_OUT and not name.lower().startswith("proxy-"):
            fields[name.lower()] = (name, content)
    if sum(len(name) + len(content) for name, content in fields.values()) > _MAX_HEADERS_CHARS:
        raise FileObjectInvalid(_MALFORMED)
    return tuple(fields.values())


def _is_latin_1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _echo(text: str) -> str:
    """A short plain word as it is; anything else is not repeated to the client."""
    return text if _ECHOED.fullmatch(text) else "(not shown)"
