"""Where relayed bytes go: the `Sink` that the relay and its paths write to, and how a consumer is lost."""

from collections.abc import Callable, Sequence
from typing import Protocol

Fields = Sequence[tuple[str, str]]


class ConsumerGone(Exception):
    """The consumer closed its connection, or we cut it. Nobody's fault on our side; never a reply."""


class Sink(Protocol):
    """One reply to one consumer. `start`, any number of `write`s, then `finish` or `abort`."""

    async def start(self, status: int, fields: Fields, first: memoryview) -> None:
        """Send the head and the first body bytes, which may be empty. Raises ConsumerGone."""

    async def write(self, data: memoryview) -> None:
        """Send body bytes; returns when the consumer's connection took them all, which is the backpressure.

        `data` may be reused afterwards, but not when this raised or was cancelled. Raises ConsumerGone.
        """

    async def finish(self) -> None:
        """End a complete body; the connection may serve another request. Raises ConsumerGone."""

    def abort(self) -> None:
        """Cut the connection so that no client can take the body for complete. Idempotent."""

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` once when the consumer leaves, at once if it already left; None forgets it."""

    def taken_bytes(self) -> int | None:
        """Monotone count of bytes that the consumer's host acknowledged, None when the system cannot tell."""
