"""A URL as text in; where to connect and what to request out, or `UnsafeAddress`.

Stricter than `urllib.parse`, which silently drops tabs and newlines. Names are not resolved here.
"""

import base64
import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote, urljoin

import idna

from provider.errors import UnsafeAddress
from provider.wire.text import digits, ows

DEFAULT_PORTS = {"http": 80, "https": 443}

# Signed storage URLs reach 2-4 KiB. RFC 9110 section 4.1 asks for at least 8000 octets; Apache accepts 8190.
MAX_URL_CHARS = 16 * 1024

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
# Blanks around a pasted URL. Unicode blanks are part of the URL.
_ASCII_SPACES = " \t\r\n"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Allowed by RFC 3986 sections 3.3 and 3.4, and the brackets, which every other client sends unencoded.
_KEPT = "!#$%&'()*+,/:;=?@[]~"
# Text that needs no encoding: unreserved characters and the kept ones, except `%`, which may be a stray one.
_ENCODED = re.compile(r"[A-Za-z0-9_.~!#$&'()*+,/:;=?@\[\]-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL without its fragment. `host`: lower-case ASCII, no brackets. `path` and `query` are encoded.

    `query` includes its `?`. `authorization`: Basic credential made from the userinfo (RFC 7617), or None.
    """

    scheme: str
    host: str = field(repr=False)
    port: int
    path: str = field(repr=False)
    query: str = field(repr=False)
    authorization: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 6454 section 4)."""
        return self.scheme, self.host, self.port

    @property
    def host_field(self) -> str:
        """Value of `Host` (RFC 9110 section 7.2), without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def request_target(self) -> str:
        """Origin form (RFC 9112 section 3.2.1)."""
        return self.path + self.query


def parse_url(text: str) -> Target:
    """Parse an absolute http or https URL.

    Raises:
        UnsafeAddress: another scheme, control characters, or an invalid host or port.
    """
    text = text.strip(_ASCII_SPACES)
    if len(text) > MAX_URL_CHARS or _CONTROLS.search(text):
        raise UnsafeAddress(detail="URL too long or with control characters")
    match = _ABSOLUTE.fullmatch(text)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in DEFAULT_PORTS:
        raise UnsafeAddress(detail="not an http or https URL")
    if "\\" in match[2]:
        # Browsers treat it as a slash, hence as the end of the host (WHATWG URL section 4.4), so it is ambiguous.
        raise UnsafeAddress(detail="backslash in the authority")
    userinfo, at, host_port = match[2].rpartition("@")
    host, port = host_and_port(host_port, DEFAULT_PORTS[scheme])
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        path=_encode(match[3]) or "/",
        query=_encode(match[4] or ""),
        authorization=_basic(userinfo) if at else None,
    )


def join_location(base: Target, location: str) -> str:
    """Absolute URL of a `Location` value (decoded as latin-1), relative to `base` (RFC 9110 section 10.2.2).

    Raises:
        UnsafeAddress: the value is not a URL.
    """
    try:
        # Origins send UTF-8 here, although RFC 9110 section 5.5 allows only ASCII in new fields.
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    if _CONTROLS.search(location):
        raise UnsafeAddress(detail="redirect with control characters")
    try:
        return urljoin(f"{base.scheme}://{base.host_field}{base.request_target}", ows(location))
    except ValueError as exc:
        raise UnsafeAddress(detail="redirect is not a URL") from exc


def host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Split an authority without userinfo into lower-case ASCII host (no brackets) and port. Raises UnsafeAddress."""
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        host = _ipv6(literal if bracket else "")
        colon, port = rest[:1], rest[1:]
    else:
        name, colon, port = text.partition(":")
        host = _host_name(name)
    number = digits(port, max_chars=5) if port else default_port
    if colon not in ("", ":") or number is None:
        raise UnsafeAddress(detail="port is not a number")
    if not 1 <= number <= 65535:
        raise UnsafeAddress(detail="port out of range")
    return host, number


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError as exc:
        raise UnsafeAddress(detail="host is not an IPv6 address") from exc
    if address.scope_id is not None:
        raise UnsafeAddress(detail="IPv6 address with a zone")
    return address.compressed


def _host_name(name: str) -> str:
    if not name.isascii():
        try:
            # As in browsers (UTS 46): full-width digits and dots become plain ones, and are then checked.
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as exc:
            raise UnsafeAddress(detail="host is not a domain name") from exc
    name = name.lower()
    if len(name) > 254 or not _HOST_NAME.fullmatch(name):
        raise UnsafeAddress(detail="host is not a domain name")
    return name


def _encode(text: str) -> str:
    """Percent-encode characters that are not allowed in a request line. Existing escapes stay as they are."""
    if _ENCODED.fullmatch(text):
        return text
    try:
        return quote(_STRAY_PERCENT.sub("%25", text), safe=_KEPT)
    except UnicodeError as exc:
        raise UnsafeAddress(detail="URL is not Unicode text") from exc


def _basic(userinfo: str) -> str:
    user, _, password = userinfo.partition(":")
    try:
        pair = f"{unquote(user)}:{unquote(password)}".encode()
    except UnicodeError as exc:
        raise UnsafeAddress(detail="userinfo is not Unicode text") from exc
    return "Basic " + base64.b64encode(pair).decode("ascii")
