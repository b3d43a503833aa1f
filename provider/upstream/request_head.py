"""Requests to origins (pure): their bytes, the request that follows a redirect, and the cookies of a chain.

Cookies follow RFC 6265 section 5. Some origins (F5, SharePoint, login portals) set a cookie, redirect, and serve the
file only to a request that sends the cookie back. A cookie is sent only to the very host that set it; its `Domain` is
ignored. Cookies end with their chain.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime

from provider import USER_AGENT
from provider.errors import FileObjectInvalid, UpstreamError
from provider.upstream.source import Headers, HttpRequest
from provider.upstream.urls import DEFAULT_PORTS, Target, join_location, parse_url
from provider.wire.text import TOKEN, digits, ows

# RFC 6265 section 6.1 asks for 50 cookies of 4096 bytes. Origins refuse heads of more than 8-16 KiB.
_MAX_COOKIES = 50
_MAX_COOKIE_CHARS = 4096
_MAX_CHARS = 8192


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie, and which requests it belongs to."""

    name: str = field(repr=False)
    value: str = field(repr=False)
    host: str = field(repr=False)
    path: str = field(repr=False)
    secure: bool

    def fits(self, target: Target) -> bool:
        """True if the cookie is sent to `target` (RFC 6265 section 5.4)."""
        return (
            self.host == target.host
            and (target.scheme == "https" or not self.secure)
            and target.path.startswith(self.path)
            and (self.path.endswith("/") or target.path[len(self.path) : len(self.path) + 1] in ("", "/"))
        )


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies that a chain has set so far."""

    kept: tuple[Cookie, ...] = field(default=(), repr=False)

    def after(self, target: Target, headers: Headers) -> "Cookies":
        """Apply the `Set-Cookie` lines of the answer from `target`: add, replace and remove cookies."""
        lines = headers.get_all("Set-Cookie")
        if not lines:
            return self
        kept = {(cookie.name, cookie.host, cookie.path): cookie for cookie in self.kept}
        for cookie, is_ended in _set_by(lines, target):
            key = (cookie.name, cookie.host, cookie.path)
            if is_ended:
                kept.pop(key, None)
            elif key in kept or len(kept) < _MAX_COOKIES:
                kept[key] = cookie
        return Cookies(tuple(kept.values()))

    def text_for(self, target: Target) -> str:
        """Value of `Cookie` for a request to `target`, longer paths first. Empty if no cookie fits."""
        fitting = sorted((cookie for cookie in self.kept if cookie.fits(target)), key=lambda cookie: -len(cookie.path))
        text = "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)
        return text if len(text) <= _MAX_CHARS else ""


NO_COOKIES = Cookies()


def _set_by(lines: list[str], target: Target) -> Iterator[tuple[Cookie, bool]]:
    """Parse each cookie, and whether it is removed here (RFC 6265 section 5.2)."""
    for line in lines:
        pair, *others = line.split(";")
        name, equals, value = pair.partition("=")
        if not equals or not ows(name) or len(line) > _MAX_COOKIE_CHARS:
            continue
        attributes = {ows(key).lower(): ows(text) for key, _, text in (other.partition("=") for other in others)}
        secure = "secure" in attributes
        if secure and target.scheme != "https":
            continue
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = target.path[: target.path.rfind("/")] or "/"
        yield Cookie(ows(name), ows(value), target.host, path, secure), _is_ended(attributes)


def _is_ended(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age")
    if age is not None and (age.startswith("-") or digits(age) is not None):
        return age.startswith("-") or not digits(age)
    try:
        return parsedate_to_datetime(attributes["expires"]).timestamp() <= time.time()
    except (KeyError, ValueError, OverflowError):
        return False


_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but HTAB (RFC 9110 section 5.5)

# Fields that this proxy sets itself: target, framing, hop by hop (RFC 9110 section 7.6.1), and the wish for bytes as
# they are stored. Any other field of a file object reaches the origin.
_OURS = frozenset({
    "host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "expect", "content-length", "accept-encoding",
})  # fmt: skip

# Fields that may follow a redirect to another origin. Any other may be a credential for the first one.
_HARMLESS = frozenset([
    "accept", "accept-language", "user-agent", "content-type", "range", "if-range", "if-match", "if-none-match",
    "if-modified-since", "if-unmodified-since",
])  # fmt: skip

_REDIRECTS = frozenset((301, 302, 303, 307, 308))

Fields = tuple[tuple[str, str], ...]
# Scheme, host, port and party: whoever may have sent the bytes that a connection delivers.
Partition = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request with its target, its bytes, and the connections it may use. `repr` shows none of them.

    `first_url`: the URL before any redirect. `cookies`: those that the redirects so far have set.
    """

    request: HttpRequest = field(repr=False)
    target: Target = field(repr=False)
    partition: Partition = field(repr=False)
    payload: bytes = field(repr=False)
    first_url: str = field(repr=False)
    cookies: Cookies = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect: the next request, and the state of the chain so far."""

    request: HttpRequest = field(repr=False)
    first_url: str = field(repr=False)
    cookies: Cookies = field(repr=False)
    status: int
    headers: Headers = field(repr=False)


def prepare(request: HttpRequest | Redirect) -> PreparedRequest:
    """Prepare a request for sending. Raises UnsafeAddress (nothing is resolved yet), FileObjectInvalid."""
    if isinstance(request, HttpRequest):
        asked, first_url, cookies = request, request.url, NO_COOKIES
    else:
        asked, first_url, cookies = request.request, request.first_url, request.cookies
    target = parse_url(asked.url)
    payload = encode_request(asked, target, cookies=cookies)
    return PreparedRequest(asked, target, (*target.origin, asked.party), payload, first_url, cookies)


def encode_request(request: HttpRequest, target: Target, *, cookies: Cookies = NO_COOKIES) -> bytes:
    """Encode request line, header fields and body (RFC 9112 section 2.1).

    Raises:
        FileObjectInvalid: the method or a header is not allowed in a request.
    """
    if not TOKEN.fullmatch(request.method):
        raise FileObjectInvalid(detail="method is not a token")
    wanted = _with_cookies(request.headers, cookies.text_for(target)) if cookies.kept else request.headers
    kept = [(name, value) for name, value in wanted if name.lower() not in _OURS]
    given = {name.lower() for name, _ in kept}
    # Host goes first (RFC 9110 section 7.2).
    fields = [("Host", target.host_field), ("Accept-Encoding", "identity"), *kept]
    if "user-agent" not in given:
        fields.append(("User-Agent", USER_AGENT))
    if "accept" not in given:
        fields.append(("Accept", "*/*"))
    if target.authorization is not None and "authorization" not in given:
        fields.append(("Authorization", target.authorization))
    if request.body is not None:
        fields.append(("Content-Length", str(len(request.body))))
    lines = [f"{request.method} {target.request_target} HTTP/1.1".encode("ascii")]
    lines += [_field_line(name, value) for name, value in fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (request.body or b"")


def is_redirect(status: int) -> bool:
    """True for a status that is followed if it carries `Location` (RFC 9110 section 15.4)."""
    return status in _REDIRECTS


def redirected(request: HttpRequest, target: Target, *, status: int, location: str) -> HttpRequest:
    """The request that follows a redirect (RFC 9110 section 15.4).

    - 303 becomes GET, and so does a POST at 301 and 302, as in browsers and Provider 2.1. 307 and 308 keep method and
      body.
    - Another origin (scheme, host or port) gets harmless headers only. A change from http to https on the standard
      ports of the same host counts as the same origin.
    - https to http is followed: many stores do it, no credential goes along, and the file's hash or licence is not for
      this proxy to judge.

    Raises:
        UnsafeAddress: `location` is not an http or https URL.
        UpstreamError: `location` is empty.
    """
    if not ows(location):
        raise UpstreamError(detail="redirect without a location")
    url = join_location(target, location)
    following = parse_url(url)
    headers, authorization = request.headers, target.authorization
    if not _same_party(target, following):
        headers = tuple((name, value) for name, value in headers if name.lower() in _HARMLESS)
        authorization = None
    if following.authorization is None and authorization is not None:
        given = {name.lower() for name, _ in headers}
        headers += () if "authorization" in given else (("Authorization", authorization),)
    becomes_get = status == 303 or (status in (301, 302) and request.method == "POST")
    if becomes_get and request.method != "HEAD":
        headers = tuple((name, value) for name, value in headers if name.lower() != "content-type")
        return HttpRequest("GET", url, headers, party=request.party)
    return replace(request, url=url, headers=headers)


def follow(asked: PreparedRequest, status: int, headers: Headers) -> Redirect | None:
    """The redirect that an answer with this status and these fields asks for; None if the answer is final.

    Raises what `redirected` raises.
    """
    location = headers.get_all("Location") if is_redirect(status) else []
    if not location:
        return None
    request = redirected(asked.request, asked.target, status=status, location=location[0])
    return Redirect(request, asked.first_url, asked.cookies.after(asked.target, headers), status, headers)


def _with_cookies(fields: Fields, text: str) -> Fields:
    """Add `text` to the publisher's own cookies."""
    own = [value for name, value in fields if name.lower() == "cookie"]
    others = tuple((name, value) for name, value in fields if name.lower() != "cookie")
    joined = "; ".join([*own, text] if text else own)
    return (*others, ("Cookie", joined)) if joined else others


def _same_party(one: Target, other: Target) -> bool:
    if one.origin == other.origin:
        return True
    upgraded = (one.scheme, other.scheme) == ("http", "https") and one.host == other.host
    return upgraded and one.port == DEFAULT_PORTS["http"] and other.port == DEFAULT_PORTS["https"]


def _field_line(name: str, value: str) -> bytes:
    if not TOKEN.fullmatch(name) or _CONTROLS.search(value):
        raise FileObjectInvalid(detail="a header is not allowed in a request")
    try:
        return f"{name}: {value}".encode("latin-1")
    except UnicodeEncodeError:
        return f"{name}: {value}".encode("utf-8", "replace")
