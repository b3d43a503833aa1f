"""The values of this room: `HttpRequest`, a request to an origin, and `Source`, the open answer of every kind of file.

No I/O here. Origins make sources: `http_source`, `ftp_source`; `memory_source` holds the result of a contract call.
"""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from provider.wire.text import ows

Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to an origin. URL, headers and body may contain a publisher's secrets, so `repr` shows none of them.

    Args:
        method: upper case.
        headers: sent in this order after our own; `request_head.py` drops some.
        party: the DID of the asset whose file the URL is, that is, who is responsible for the URL. Requests of two
            parties never share a connection; requests without a party share one for the same URL only.
    """

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    party: str = field(default="", repr=False)


class Headers:
    """Header fields of a response, in order. Lookups ignore case (RFC 9110 section 5.1)."""

    __slots__ = ("_by_name", "_fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)
        self._by_name: dict[str, list[str]] = {}
        for name, value in self._fields:
            self._by_name.setdefault(name.lower(), []).append(value)

    def get(self, name: str) -> str | None:
        """Value of a field, with repeated lines joined by `, ` (RFC 9110 section 5.3). None if absent."""
        values = self._by_name.get(name.lower())
        return ", ".join(values) if values else None

    def get_all(self, name: str) -> list[str]:
        """Values of all lines of a field, in order."""
        return list(self._by_name.get(name.lower(), ()))

    def tokens(self, name: str) -> list[str]:
        """Members of a comma-separated field in lower case, without empty ones (RFC 9110 section 5.6.1)."""
        values = self._by_name.get(name.lower())
        if values is None:
            return []
        listed = (ows(token).lower() for value in values for token in value.split(","))
        return [token for token in listed if token]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._by_name

    def __repr__(self) -> str:
        return f"<Headers: {len(self._fields)} fields>"


NO_HEADERS = Headers()


class FilePlace(NamedTuple):
    """Where bytes lie in a regular file: its open descriptor, which belongs to the source, and an offset in bytes."""

    descriptor: int
    offset: int


class Source(Protocol):
    """An open answer: the head has been read, the body has not.

    Exactly one task reads a source, and it must call `release()` or `close()` at the end.
    """

    __slots__ = ()

    @property
    def idle_timeout_seconds(self) -> float:
        """Longest silence of the origin, in seconds. Code that waits on `raw_socket()` must apply this limit itself."""

    @property
    def status(self) -> int:
        """Status code of the final answer, after redirects."""

    @property
    def headers(self) -> Headers:
        """Header fields of the final answer, as the origin sent them."""

    def forget_head(self) -> None:
        """Drop the header fields, if they are of this source alone: from now on only the body is of use."""
        return

    @property
    def framing(self) -> Framing:
        """How the origin marks the end of the body."""

    @property
    def length_bytes(self) -> int | None:
        """Length of the body; None if unknown."""

    def expect(self, count_bytes: int) -> None:
        """Require `count_bytes` of a body of unknown length, before its first read. Fewer or more are then an error."""

    @property
    def final_url_path(self) -> str:
        """Path of the URL that answered, percent-encoded and without the query. File names are derived from it."""

    @property
    def ready_bytes(self) -> int:
        """Body bytes (still framed) already in memory. If not 0, the next `read_now` returns data."""

    def read_now(self, buffer: memoryview) -> int | None:
        """Read without waiting. Returns the bytes placed in `buffer`, 0 at the clean end, None if nothing has arrived.

        Raises:
            UpstreamTruncated: the body ended early, or its framing is broken.
        """

    async def wait_ready(self) -> None:
        """Wait until `read_now` is worth a try.

        Raises:
            UpstreamTimedOut: nothing arrived within the idle limit.
            UpstreamTruncated: `close()` was called meanwhile.
        """

    async def read_into(self, buffer: memoryview) -> int:
        """Wait for body bytes and place them in `buffer`; 0 at the clean end. Raises as `read_now` and `wait_ready`."""

    def raw_socket(self) -> socket.socket | None:
        """The plain socket, for zero-copy reads; `contiguous_bytes` tells how far they may go. None with TLS."""

    def raw_file(self) -> FilePlace | None:
        """Where the next body bytes lie in a regular file, for `sendfile`; `contiguous_bytes` tells how many do.

        None if they come from elsewhere. A source whose body comes from files at any time returns a place before its
        first read. Ask again for each piece: the next bytes may lie in another file, and a change of the file is
        noticed here.

        Raises:
            UpstreamTruncated: the file is no longer the one that was opened.
        """
        return None

    @property
    def contiguous_bytes(self) -> int:
        """Number of the next bytes on `raw_socket()` that are body only, without framing between them, or of the bytes
        at `raw_file()`.

        0 at the end, and while bytes in memory or framing come first: continue with `read_now` then.
        """

    def advance(self, count_bytes: int) -> None:
        """Record that `count_bytes` (at most `contiguous_bytes`) were read directly from socket or file."""

    @property
    def cached_bytes(self) -> int:
        """Bytes of the body that did not come from the origin, because they lay in a cache. Whole after the end."""
        return 0

    def release(self) -> None:
        """Give the source up. The connection returns to the pool if the body was read to its end, else it closes.

        The source has no connection from then on: a later `release` or `close` does nothing.
        """

    def close(self) -> None:
        """Close the connection at once. A task waiting in `wait_ready` or `read_into` gets an error."""
