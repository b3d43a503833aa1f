"""The destination of a relay: the `Sink` that every path writes to, and the error for a consumer that left."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Fields = Sequence[tuple[str, str]]


class ConsumerGone(Exception):
    """The consumer closed its connection, or we cut it. Not a fault of this server; it never becomes a reply."""


@dataclass(frozen=True, slots=True)
class RawConsumer:
    """The consumer's plain socket. `chunked`: frame the body in chunks; the sink sends the last chunk."""

    socket: socket.socket
    chunked: bool


class Sink(Protocol):
    """One reply to one consumer: `start`, any number of `write`s, then `finish` or `abort`."""

    __slots__ = ()

    async def start(self, status: int, fields: Fields, first: memoryview) -> None:
        """Send the head and the first body bytes, which may be empty. Raises ConsumerGone."""

    async def write(self, data: memoryview) -> None:
        """Send body bytes. Returns once the consumer's connection accepted all of them, which gives backpressure.

        `data` may be reused afterwards, except if this raised or was cancelled. Raises ConsumerGone.
        """

    def raw_consumer(self) -> RawConsumer | None:
        """The socket for zero-copy writes past this object, after `start`. None with TLS."""

    def advance(self, count_bytes: int) -> None:
        """Record that `count_bytes` of body were written past this object. Call it before `finish`."""

    async def finish(self) -> None:
        """End a complete body. The connection may then serve another request. Raises ConsumerGone."""

    def abort(self) -> None:
        """Cut the connection so that no client can mistake the body for a complete one. Idempotent."""

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` once when the consumer leaves, or at once if it already left. None removes the callback."""

    def taken_bytes(self) -> int | None:
        """Bytes that the consumer's host acknowledged so far; None if the system does not report it."""
