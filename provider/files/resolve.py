"""From a file object and the request's wishes to what is asked of an origin (pure; `provider-api.md` section 11).

Opening the request, the address guard and the encoding of the URL are the upstream room's.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from provider.files.file_fields import Fields
from provider.files.file_object import ArweaveFile, FileObject, GraphqlFile, IpfsFile, UrlFile
from provider.files.userdata import as_json, with_query
from provider.upstream.source import HttpRequest
from provider.upstream.wish import Wish

# Bytes are wanted as they are stored; and who has no copy of the file cannot ask whether it has changed since.
_NOT_A_PUBLISHERS = frozenset(("accept-encoding", "if-none-match", "if-modified-since"))


def asked_of(file: FileObject, wish: Wish) -> Wish:
    """The wish as it is put to the origin of `file`: a range in the file object wins (section 11.5)."""
    own: Fields = getattr(file, "headers", ())
    return wish.of(own) if own else wish


def resolve(file: UrlFile, values: Mapping[str, object], wish: Wish) -> HttpRequest:
    """The one request that fetches a `url` file.

    `values` are the user data: GET adds them to the query, POST sends them as JSON. A `Range` in the file object wins
    over the client's (section 11.5). Bytes are always asked for unencoded, else lengths and ranges would not be those
    of the file. Raises FileObjectInvalid when user data cannot be written as JSON.
    """
    headers = _headers(file.headers, wish, file.method)
    if file.method == "GET":
        return HttpRequest("GET", with_query(file.url, values), headers, party=file.party)
    # An empty body rather than none, so that the origin is told its length (RFC 9110 section 8.6).
    body = as_json(dict(values)).encode() if values else b""
    return HttpRequest("POST", file.url, _as_json_body(headers) if values else headers, body, file.party)


def resolve_graphql(file: GraphqlFile, values: Mapping[str, object], wish: Wish) -> HttpRequest:
    """The one request that asks the query, `values` as its variables (GraphQL over HTTP, POST)."""
    content: dict[str, object] = {"query": file.query}
    if values:
        content["variables"] = dict(values)
    headers = _as_json_body(_headers(file.headers, wish, "POST"))
    return HttpRequest("POST", file.url, headers, as_json(content).encode(), file.party)


def resolve_gateway(
    file: IpfsFile | ArweaveFile, gateway: str, values: Mapping[str, object], wish: Wish
) -> HttpRequest:
    """The request that asks one gateway: its URL, one slash, the path [K31]; a query of the gateway stays."""
    base = urlsplit(gateway)
    folder = base.path.rstrip("/")
    if isinstance(file, IpfsFile):
        # Operators of old wrote the URL with or without it.
        folder = folder.removesuffix("/ipfs") + "/ipfs"
    url = base._replace(path=f"{folder}/{file.path}", fragment="").geturl()
    return HttpRequest("GET", with_query(url, values), _headers(file.headers, wish, "GET"), party=file.party)


def _headers(own: Fields, wish: Wish, method: str) -> Fields:
    """The file object's own fields, and beside them what it does not say itself of what is wished.

    Conditions on the whole answer are sent with GET only: to a POST they mean something else (RFC 9110 section 13.1.2).
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
