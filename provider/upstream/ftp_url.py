"""An `ftp` or `ftps` URL as text in; where to connect and what to request out, or `UnsafeAddress` (pure)."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from provider.errors import UnsafeAddress
from provider.upstream.urls import MAX_URL_CHARS, host_and_port
from provider.wire.text import ows

Security = Literal["none", "explicit", "implicit"]

IMPLICIT_TLS_PORT = 990
_DEFAULT_PORTS = {"ftp": 21, "ftps": IMPLICIT_TLS_PORT}
# RFC 1738 section 3.2.2: the transfer type is not part of the name. Files are always read as they are stored.
_TYPE = re.compile(r";type=[aid]\Z", re.IGNORECASE)
_URL = re.compile(r"(ftps?)://([^/?#]*)([^?#]*)(?:[?#].*)?", re.DOTALL | re.IGNORECASE)
# CR and LF end a command (RFC 959 section 4.1.3), NUL ends it for servers written in C, IAC is Telnet's escape.
_NOT_IN_COMMANDS = re.compile(r"[\x00-\x1f\x7f\xff]")


@dataclass(frozen=True, slots=True)
class FtpTarget:
    """A file on an FTP server. Text for commands holds octets as latin-1 characters.

    `path` is absolute, as ocean-node sends it. `security`: none, explicit TLS (AUTH TLS, RFC 4217) or implicit TLS.
    """

    host: str = field(repr=False)
    port: int
    security: Security
    path: str = field(repr=False)
    user: str = field(default="anonymous", repr=False)
    password: str = field(default="anonymous@", repr=False)

    @property
    def url_path(self) -> str:
        """The path, percent-encoded."""
        return quote(self.path.encode("latin-1"))


def parse_ftp_url(text: str) -> FtpTarget:
    """Parse an absolute ftp or ftps URL (RFC 1738 section 3.2). `ftps` means implicit TLS on port 990, its default.

    Raises:
        UnsafeAddress: another scheme, no file, an invalid host or port, or control characters in any encoding.
    """
    match = _URL.fullmatch(ows(text)) if len(text) <= MAX_URL_CHARS else None
    if match is None or "\\" in match[2]:
        raise UnsafeAddress(detail="not an ftp or ftps URL")
    scheme = match[1].lower()
    userinfo, _, authority = match[2].rpartition("@")
    host, port = host_and_port(authority, _DEFAULT_PORTS[scheme])
    user, _, password = userinfo.partition(":")
    path = _octets(without_type(match[3]))
    if path.endswith("/") or not path or match[3].lower().endswith(";type=d"):
        raise UnsafeAddress(detail="the FTP URL names no file")
    explicit_or_none: Security = "explicit" if scheme == "ftps" else "none"
    return FtpTarget(
        host=host,
        port=port,
        security="implicit" if scheme == "ftps" and port == IMPLICIT_TLS_PORT else explicit_or_none,
        path=path,
        user=_octets(user) or "anonymous",
        password=_octets(password) or "anonymous@",
    )


def without_type(path: str) -> str:
    """Remove `;type=` from the path of an FTP URL."""
    return _TYPE.sub("", path)


def _octets(text: str) -> str:
    """Decode percent-encoding into one character per octet."""
    try:
        octets = unquote_to_bytes(text).decode("latin-1")
    except UnicodeError:
        raise UnsafeAddress(detail="the FTP URL is not Unicode text") from None
    if _NOT_IN_COMMANDS.search(octets):
        raise UnsafeAddress(detail="the FTP URL holds control characters")
    return octets
