"""The values of this room: what is asked of an origin (`HttpRequest`) and what every kind of file becomes (`Source`).

No I/O here. Kinds of `Source`: `http_source.HttpSource`; results of contract calls can be another.
"""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from provider.wire.text import ows

Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to an origin. URL, headers and body may hold a publisher's secrets: none of them is in `repr`.

    `method` is upper case; `headers` are sent in order after our own (`request_head.py` tells which are dropped).
    `party`: who answers for the URL, as the DID of an asset whose file it is. Requests of two parties never share a
    connection; requests without a party share one for the same URL only.
    """

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    party: str = field(default="", repr=False)


class Headers:
    """Header fields of a response in order, looked up without regard to case (RFC 9110 section 5.1)."""

    __slots__ = ("_by_name", "_fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)
        self._by_name: dict[str, list[str]] = {}
        for name, value in self._fields:
            self._by_name.setdefault(name.lower(), []).append(value)

    def get(self, name: str) -> str | None:
        """Value of a field, repeated lines joined by `, ` (RFC 9110 section 5.3); None when absent."""
        values = self._by_name.get(name.lower())
        return ", ".join(values) if values else None

    def get_all(self, name: str) -> list[str]:
        """Every line's value of a field, in order."""
        return list(self._by_name.get(name.lower(), ()))

    def tokens(self, name: str) -> list[str]:
        """Members of a comma-separated field, lower-cased, empty ones left out (RFC 9110 section 5.6.1)."""
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


class Source(Protocol):
    """An open answer whose head was read and whose body was not.

    Exactly one task reads a source, and it must end with `release()` or `close()`.
    """

    __slots__ = ()

    @property
    def idle_timeout_seconds(self) -> float:
        """How long the origin may send nothing; whoever waits on `raw_socket()` keeps this limit."""

    @property
    def status(self) -> int:
        """Status code of the final answer, redirects followed."""

    @property
    def headers(self) -> Headers:
        """Header fields of the final answer as the origin sent them."""

    @property
    def framing(self) -> Framing:
        """How the origin delimits the body."""

    @property
    def length_bytes(self) -> int | None:
        """Length of the body; None when unknown."""

    def expect(self, count_bytes: int) -> None:
        """Before the first read of a body of unknown length: it must have exactly so many bytes, else it is broken."""

    @property
    def final_url_path(self) -> str:
        """Path of the URL that answered, still percent-encoded, without query: file names come from it."""

    @property
    def ready_bytes(self) -> int:
        """Body bytes (as framed) already in memory: the next `read_now` gives data at once when not 0."""

    def read_now(self, buffer: memoryview) -> int | None:
        """Read without waiting: bytes placed in `buffer`, 0 at the clean end, None when there is nothing yet.

        Raises:
            UpstreamTruncated: the body ended before its announced end, or its framing is broken.
        """

    async def wait_ready(self) -> None:
        """Wait until `read_now` is worth a try.

        Raises:
            UpstreamTimedOut: nothing arrived for the idle limit.
            UpstreamTruncated: `close()` was called meanwhile.
        """

    async def read_into(self, buffer: memoryview) -> int:
        """Wait for body bytes and place them in `buffer`; 0 at the clean end. Raises as the two above."""

    def raw_socket(self) -> socket.socket | None:
        """Seam for zero copy: the plain socket that `contiguous_bytes` tells about. None with TLS."""

    @property
    def contiguous_bytes(self) -> int:
        """How many of the next bytes on `raw_socket()` are body and nothing else.

        0 when bytes in memory or framing come first, and at the end: then `read_now` goes on.
        """

    def advance(self, count_bytes: int) -> None:
        """Tell that `count_bytes`, at most `contiguous_bytes`, were read straight from `raw_socket()`."""

    def release(self) -> None:
        """Done with it: a connection whose body was read to the end goes back to the pool, any other is closed."""

    def close(self) -> None:
        """Close the connection at once; a task waiting in `wait_ready` or `read_into` is woken with an error."""
