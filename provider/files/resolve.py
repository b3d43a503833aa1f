"""Turns a file object and the request's wishes into a request to an origin (pure; `provider-api.md` section 11).

The upstream room sends it, checks addresses and encodes the URL.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from provider.files.file_fields import Fields
from provider.files.file_object import ArweaveFile, FileObject, GraphqlFile, IpfsFile, UrlFile
from provider.files.userdata import as_json, with_query
from provider.upstream.source import HttpRequest
from provider.upstream.wish import Wish

# Bytes are requested as stored. A publisher has no copy of the file, so these conditions make no sense.
_NOT_A_PUBLISHERS = frozenset(("accept-encoding", "if-none-match", "if-modified-since"))


def asked_of(file: FileObject, wish: Wish) -> Wish:
    """The wish to send to the origin of `file`: a range in the file object wins (section 11.5)."""
    own: Fields = getattr(file, "headers", ())
    return wish.of(own) if own else wish


def resolve(file: UrlFile, values: Mapping[str, object], wish: Wish) -> HttpRequest:
    """The request that fetches a `url` file.

    A `Range` in the file object overrides the client's (section 11.5). Bytes are always requested unencoded; otherwise
    lengths and ranges would not be those of the file. Raises FileObjectInvalid if the user data is not valid JSON.

    Args:
        file: the file object.
        values: user data. GET adds them to the query, POST sends them as JSON.
        wish: the consumer's range and conditions.
    """
    headers = _headers(file.headers, wish, file.method)
    if file.method == "GET":
        return HttpRequest("GET", with_query(file.url, values), headers, party=file.party)
    # An empty body and not a missing one, so that the origin learns its length (RFC 9110 section 8.6).
    body = as_json(dict(values)).encode() if values else b""
    return HttpRequest("POST", file.url, _as_json_body(headers) if values else headers, body, file.party)


def resolve_graphql(file: GraphqlFile, values: Mapping[str, object], wish: Wish) -> HttpRequest:
    """The request that sends the query, with `values` as its variables (GraphQL over HTTP, POST)."""
    content: dict[str, object] = {"query": file.query}
    if values:
        content["variables"] = dict(values)
    headers = _as_json_body(_headers(file.headers, wish, "POST"))
    return HttpRequest("POST", file.url, headers, as_json(content).encode(), file.party)


def resolve_gateway(
    file: IpfsFile | ArweaveFile, gateway: str, values: Mapping[str, object], wish: Wish
) -> HttpRequest:
    """The request to one gateway: its URL, one slash, the path [K31]. A query in the gateway's URL stays."""
    base = urlsplit(gateway)
    folder = base.path.rstrip("/")
    if isinstance(file, IpfsFile):
        # Operators used to write the URL with or without it.
        folder = folder.removesuffix("/ipfs") + "/ipfs"
    url = base._replace(path=f"{folder}/{file.path}", fragment="").geturl()
    return HttpRequest("GET", with_query(url, values), _headers(file.headers, wish, "GET"), party=file.party)


def _headers(own: Fields, wish: Wish, method: str) -> Fields:
    """The file object's own fields, and those of the wish that it does not set itself.

    Conditions on the whole answer are sent with GET only: with POST they mean something else (RFC 9110 section 13.1.2).
    """
    given = {name.lower() for name, _ in own}
    dropped = _NOT_A_PUBLISHERS if "range" in given else _NOT_A_PUBLISHERS | {"if-range"}
    headers = [(name, value) for name, value in own if name.lower() not in dropped]
    headers.append(("Accept-Encoding", "identity"))
    if "range" not in given:
        headers += wish.range_fields
    if wish.preconditions is not None and method == "GET":
        headers += [(name, value) for name, value in wish.preconditions.fields if name.lower() not in given - dropped]
    return tuple(headers)


def _as_json_body(headers: Fields) -> Fields:
    if any(name.lower() == "content-type" for name, _ in headers):
        return headers
    return (*headers, ("Content-Type", "application/json"))
