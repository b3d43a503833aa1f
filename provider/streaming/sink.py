"""Where relayed bytes go: the `Sink` that the relay and its paths write to, and how a consumer is lost."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Fields = Sequence[tuple[str, str]]


class ConsumerGone(Exception):
    """The consumer closed its connection, or we cut it. Nobody's fault on our side; never a reply."""


@dataclass(frozen=True, slots=True)
class RawConsumer:
    """The consumer's plain socket. `chunked`: a body written there is framed in chunks; the last one is the sink's."""

    socket: socket.socket
    chunked: bool


class Sink(Protocol):
    """One reply to one consumer. `start`, any number of `write`s, then `finish` or `abort`."""

    async def start(self, status: int, fields: Fields, first: memoryview) -> None:
        """Send the head and the first body bytes, which may be empty. Raises ConsumerGone."""

    async def write(self, data: memoryview) -> None:
        """Send body bytes; returns when the consumer's connection took them all, which is the backpressure.

        `data` may be reused afterwards, but not when this raised or was cancelled. Raises ConsumerGone.
        """

    def raw_consumer(self) -> RawConsumer | None:
        """Seam for zero copy, after `start`: where body bytes may be written past this object. None with TLS."""

    def advance(self, count_bytes: int) -> None:
        """Tell that `count_bytes` of body were written past this object; before `finish`."""

    async def finish(self) -> None:
        """End a complete body; the connection may serve another request. Raises ConsumerGone."""

    def abort(self) -> None:
        """Cut the connection so that no client can take the body for complete. Idempotent."""

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` once when the consumer leaves, at once if it already left; None forgets it."""

    def taken_bytes(self) -> int | None:
        """Monotone count of bytes that the consumer's host acknowledged, None when the system cannot tell."""
