"""A consumer's HTTP client: small calls as whole replies, downloads as a stream that is hashed and timed.

It uses the standard library only, without redirects, proxies or retries, so that a test sees exactly what the server
sent.
"""

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlencode, urlsplit

CHUNK_BYTES = 256 * 1024
TIMEOUT_SECONDS = 60.0  # between two pieces of data, not for the whole exchange

Progress = Callable[[int], None]


class Digest(Protocol):
    """The common methods of hashlib objects and the null digest."""

    def update(self, data: memoryview, /) -> None:
        """Add data."""

    def hexdigest(self) -> str:
        """Hex of the digest so far."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply. `headers` keys are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Body as JSON; ValueError if it is not."""
        return json.loads(self.body)

    def error_text(self) -> str:
        """The error that the reply carries; see `error_text`."""
        return error_text(self.body)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A download that was read to its end. `complete` is False if the transfer was cut."""

    status: int
    headers: Mapping[str, str]
    size_bytes: int
    sha256: str
    complete: bool
    first_byte_seconds: float
    total_seconds: float
    error_body: bytes = field(default=b"", repr=False)

    @property
    def filename(self) -> str | None:
        """Return the name from Content-Disposition, parsed as ocean.js does it."""
        _, found, name = self.headers.get("content-disposition", "").partition("attachment;filename=")
        return name if found else None


def error_text(body: bytes) -> str:
    """Return the error in a Provider reply's body as one line, whatever its shape (`provider-api.md` section 1)."""
    try:
        value = json.loads(body)
    except ValueError:
        return " ".join(body.decode("utf-8", "replace").split())
    if not isinstance(value, dict):
        return str(value)
    error = value.get("error") or value.get("errors") or value
    if not isinstance(error, dict):
        return str(error)
    return "; ".join(
        f"{name}: {texts if isinstance(texts, str) else ' '.join(map(str, texts))}" for name, texts in error.items()
    )


def _connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    target = parts.path or "/"
    return kind(parts.netloc, timeout=TIMEOUT_SECONDS), target + (f"?{parts.query}" if parts.query else "")


def with_query(url: str, parameters: Mapping[str, object]) -> str:
    """Return the URL with a query string. Parameters that are None are left out."""
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return f"{url}?{urlencode(given)}" if given else url


def request(method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Run one exchange on a new connection. Raises OSError or http.client.HTTPException."""
    connection, target = _connect(url)
    try:
        connection.request(method, target, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, _headers(response), response.read())
    finally:
        connection.close()


def get_json(url: str, parameters: Mapping[str, object] | None = None) -> Any:
    """Return the JSON of a GET answered with 2xx. Raises ReplyRefused otherwise."""
    reply = request("GET", with_query(url, parameters or {}))
    if reply.status // 100 != 2:
        raise ReplyRefused(reply)
    return reply.json()


def post_json(url: str, value: object) -> Any:
    """Return the JSON of a POST of JSON answered with 2xx. Raises ReplyRefused otherwise."""
    reply = request("POST", url, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})
    if reply.status // 100 != 2:
        raise ReplyRefused(reply)
    return reply.json()


class ReplyRefused(Exception):
    """The server answered with an error; `reply` is the whole reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.status}: {reply.error_text()}")
        self.reply = reply


def download(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    sink: BinaryIO | None = None,
    progress: Progress = lambda _: None,
    checksum: bool = True,
) -> Downloaded:
    """Stream a GET into `sink` (or nowhere). `progress` is called with the bytes of each piece.

    A body shorter than announced is reported as `complete=False`, not raised.
    """
    connection, target = _connect(url)
    started = time.perf_counter()
    try:
        connection.request("GET", target, headers=dict(headers or {}))
        response = connection.getresponse()
        if response.status >= 400:
            return _refused(response, started)
        return _drain(response, started, sink, progress, hashlib.sha256() if checksum else _NoDigest())
    finally:
        connection.close()


class _NoDigest:
    def update(self, data: memoryview, /) -> None:
        """Ignore the data."""

    def hexdigest(self) -> str:
        """No digest."""
        return ""


def _refused(response: http.client.HTTPResponse, started: float) -> Downloaded:
    body, elapsed = response.read(), time.perf_counter() - started
    return Downloaded(response.status, _headers(response), 0, "", True, elapsed, elapsed, body)


def _drain(
    response: http.client.HTTPResponse,
    started: float,
    sink: BinaryIO | None,
    progress: Progress,
    digest: Digest,
) -> Downloaded:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    announced, size, first_byte_seconds, complete = response.length, 0, 0.0, True
    while True:
        try:
            if not first_byte_seconds and announced != 0:
                response.peek(1)  # returns with the first piece, while readinto waits until the buffer is full
                first_byte_seconds = time.perf_counter() - started
            count = response.readinto(buffer)
        except (http.client.IncompleteRead, ConnectionError):
            complete = False
            break
        if not count:
            break
        size += count
        piece = buffer[:count]
        digest.update(piece)
        if sink is not None:
            sink.write(piece)
        progress(count)
    if announced is not None and size != announced:
        complete = False
    total = time.perf_counter() - started
    return Downloaded(
        response.status, _headers(response), size, digest.hexdigest(), complete, first_byte_seconds, total
    )


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
