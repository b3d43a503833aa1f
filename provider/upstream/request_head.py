"""What is sent to an origin: the bytes of a request, and the request that follows a redirect (pure)."""

import re
from dataclasses import dataclass, field, replace

from provider.errors import FileObjectInvalid, UpstreamError
from provider.upstream.source import HttpRequest
from provider.upstream.urls import DEFAULT_PORTS, Target, join_location, parse_url
from provider.wire_text import ows

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but HTAB (RFC 9110 section 5.5)

# Ours to say: where it goes, how it is framed, hop by hop (RFC 9110 section 7.6.1), and that bytes are wanted as
# they are stored. Anything else in a file object reaches the origin.
_OURS = frozenset({
    "host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "expect", "content-length", "accept-encoding",
})  # fmt: skip

# What may follow a redirect to another origin. Everything else in a file object may be a credential of the first.
_HARMLESS = frozenset(["accept", "accept-language", "user-agent", "range", "if-range", "content-type"])

_REDIRECTS = frozenset((301, 302, 303, 307, 308))

# Scheme, host, port and party: who may have sent what is read from a connection.
Partition = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request, whom it goes to, whose connections it may use, and its bytes. None of them is in `repr`.

    `first_url` is what was asked for before any redirect.
    """

    request: HttpRequest = field(repr=False)
    target: Target = field(repr=False)
    partition: Partition = field(repr=False)
    payload: bytes = field(repr=False)
    first_url: str = field(repr=False)


def prepare(request: HttpRequest, *, user_agent: str, first_url: str | None = None) -> PreparedRequest:
    """As it goes out; `first_url` when it follows a redirect.

    Raises UnsafeAddress (nothing is resolved yet), FileObjectInvalid.
    """
    target = parse_url(request.url)
    payload = encode_request(request, target, user_agent=user_agent)
    return PreparedRequest(request, target, (*target.origin, request.party), payload, first_url or request.url)


def encode_request(request: HttpRequest, target: Target, *, user_agent: str) -> bytes:
    """Request line, header fields and body as they go out (RFC 9112 section 2.1).

    Raises:
        FileObjectInvalid: method or a header cannot stand in a request.
    """
    if not _TOKEN.fullmatch(request.method):
        raise FileObjectInvalid(detail="method is not a token")
    kept = [(name, value) for name, value in request.headers if name.lower() not in _OURS]
    given = {name.lower() for name, _ in kept}
    # Host goes first (RFC 9110 section 7.2).
    fields = [("Host", target.host_field), ("Accept-Encoding", "identity"), *kept]
    if "user-agent" not in given:
        fields.append(("User-Agent", user_agent))
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
