"""What is sent to an origin: the bytes of a request, and the request that follows a redirect (pure)."""

import re
from dataclasses import dataclass, field, replace

from provider import USER_AGENT
from provider.errors import FileObjectInvalid, UpstreamError
from provider.upstream.cookies import NO_COOKIES, Cookies
from provider.upstream.source import Headers, HttpRequest
from provider.upstream.urls import DEFAULT_PORTS, Target, join_location, parse_url
from provider.wire.text import ows

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but HTAB (RFC 9110 section 5.5)

# Ours to say: where it goes, how it is framed, hop by hop (RFC 9110 section 7.6.1), and that bytes are wanted as
# they are stored. Anything else in a file object reaches the origin.
_OURS = frozenset({
    "host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "expect", "content-length", "accept-encoding",
})  # fmt: skip

# What may follow a redirect to another origin. Everything else in a file object may be a credential of the first.
_HARMLESS = frozenset([
    "accept", "accept-language", "user-agent", "content-type", "range", "if-range", "if-match", "if-none-match",
    "if-modified-since", "if-unmodified-since",
])  # fmt: skip

_REDIRECTS = frozenset((301, 302, 303, 307, 308))

Fields = tuple[tuple[str, str], ...]
# Scheme, host, port and party: who may have sent what is read from a connection.
Partition = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request, whom it goes to, whose connections it may use, and its bytes. None of them is in `repr`.

    `first_url` is what was asked for before any redirect, `cookies` what the redirects so far have set.
    """

    request: HttpRequest = field(repr=False)
    target: Target = field(repr=False)
    partition: Partition = field(repr=False)
    payload: bytes = field(repr=False)
    first_url: str = field(repr=False)
    cookies: Cookies = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that leads on: the request that it asks for, and what the chain so far hands on to it."""

    request: HttpRequest = field(repr=False)
    first_url: str = field(repr=False)
    cookies: Cookies = field(repr=False)
    status: int
    headers: Headers = field(repr=False)


def prepare(request: HttpRequest | Redirect) -> PreparedRequest:
    """As it goes out. Raises UnsafeAddress (nothing is resolved yet), FileObjectInvalid."""
    if isinstance(request, HttpRequest):
        asked, first_url, cookies = request, request.url, NO_COOKIES
    else:
        asked, first_url, cookies = request.request, request.first_url, request.cookies
    target = parse_url(asked.url)
    payload = encode_request(asked, target, cookies=cookies)
    return PreparedRequest(asked, target, (*target.origin, asked.party), payload, first_url, cookies)


def encode_request(request: HttpRequest, target: Target, *, cookies: Cookies = NO_COOKIES) -> bytes:
    """Request line, header fields and body as they go out (RFC 9112 section 2.1).

    Raises:
        FileObjectInvalid: method or a header cannot stand in a request.
    """
    if not _TOKEN.fullmatch(request.method):
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
    """True for the statuses that are followed when they carry `Location` (RFC 9110 section 15.4)."""
    return status in _REDIRECTS


def redirected(request: HttpRequest, target: Target, *, status: int, location: str) -> HttpRequest:
    """The request that follows a redirect, RFC 9110 section 15.4.

    303 becomes GET, and so does a POST at 301 and 302, as browsers and the original do; 307 and 308 repeat method
    and body. Another origin (scheme, host or port) gets only harmless headers; the same host going from http to
    https on the standard ports counts as the same origin. https to http is followed: many stores do it, the file's
    hash or licence is not ours to judge, and no credential goes along.

    Raises:
        UnsafeAddress: `location` leads to no http or https URL.
        UpstreamError: it is empty.
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
    """What comes after an answer with this status and these fields; None when the answer is final.

    Raises as `redirected`.
    """
    location = headers.get_all("Location") if is_redirect(status) else []
    if not location:
        return None
    request = redirected(asked.request, asked.target, status=status, location=location[0])
    return Redirect(request, asked.first_url, asked.cookies.after(asked.target, headers), status, headers)


def _with_cookies(fields: Fields, text: str) -> Fields:
    """The fields with `text` added to the publisher's own cookies."""
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
    if not _TOKEN.fullmatch(name) or _CONTROLS.search(value):
        raise FileObjectInvalid(detail="a header cannot stand in a request")
    try:
        return f"{name}: {value}".encode("latin-1")
    except UnicodeEncodeError:
        return f"{name}: {value}".encode("utf-8", "replace")
