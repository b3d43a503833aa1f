"""From a file object and the request's wishes to what is asked of the origin (pure; `provider-api.md` section 11.2).

Opening the request, the address guard and the encoding of the URL are the upstream room's.
"""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from provider.errors import FileObjectInvalid
from provider.files.file_object import UrlFile
from provider.upstream.ranges import passable_range
from provider.upstream.source import HttpRequest

# User data are a handful of parameters; no origin asks for trees.
_MAX_DEPTH = 32


def resolve(file: UrlFile, userdata: Mapping[str, object] | None, range_header: str | None) -> HttpRequest:
    """The one request that fetches `file`.

    `userdata` replaces the file object's own: GET adds it to the query, POST sends it as JSON. A `Range` in the
    file object wins over the client's (section 11.5). Bytes are always asked for unencoded, else lengths and
    ranges would not be those of the file. Raises FileObjectInvalid when user data cannot be written as JSON.
    """
    values = userdata or file.userdata or {}
    headers = [(name, value) for name, value in file.headers if name.lower() != "accept-encoding"]
    headers.append(("Accept-Encoding", "identity"))
    names = {name.lower() for name, _ in headers}
    wanted_range = passable_range(range_header) if "range" not in names else None
    if wanted_range is not None:
        headers.append(("Range", wanted_range))
    if file.method == "GET":
        return HttpRequest(method="GET", url=_with_query(file.url, values), headers=tuple(headers))
    # An empty body rather than none, so that the origin is told its length (RFC 9110 section 8.6).
    body = _json(dict(values)).encode() if values else b""
    if values and "content-type" not in names:
        headers.append(("Content-Type", "application/json"))
    return HttpRequest(method="POST", url=file.url, headers=tuple(headers), body=body)


def _with_query(url: str, values: Mapping[str, object]) -> str:
    """`url` with the values appended to its own query, which stays byte for byte; the fragment goes."""
    added = urlencode([(name, _text(value)) for name, value in values.items() if value is not None], errors="replace")
    url = url.partition("#")[0]
    if not added:
        return url
    if "?" not in url:
        return f"{url}?{added}"
    return url + added if url.endswith(("?", "&")) else f"{url}&{added}"


def _text(value: object) -> str:
    """wire: as the original's HTTP library wrote them, so True is `True`; objects and lists become JSON."""
    return _json(value) if isinstance(value, Mapping | list) else str(value)


def _json(value: object) -> str:
    # Not orjson: integers of contracts and hashes are larger than its 64 bits.
    if not _is_shallow(value):
        raise FileObjectInvalid(detail="user data is nested too deeply")
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise FileObjectInvalid(detail="user data holds what is no JSON") from None


def _is_shallow(value: object) -> bool:
    """The encoder recurses on the C stack, and libraries raise the limit that would stop it in time."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        containers = [item for item in level if isinstance(item, Mapping | list)]
        if not containers:
            return True
        level = [inner for item in containers for inner in (item.values() if isinstance(item, Mapping) else item)]
    return False
