"""Collects questions of one event loop, for a durable store that answers many with one write."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A busy loop has new questions in nearly every turn. They wait for each other at most this long.
_MAX_WAIT_SECONDS = 0.005


class Batches(Generic[Item]):
    """Calls `hand_over` on `loop` with at most `limit` items, and again only after `done`: one batch is under way.

    An item that comes alone, as the one before it did, is handed over at once. Otherwise a batch is complete when a
    turn of the event loop brings no new item: a busy loop collects the questions of several turns. A commit and the
    change of threads cost ten times as much as one more nonce in them, so batches are what keeps a busy server cheap.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, hand_over: Callable[[list[Item]], None], *, limit: int) -> None:
        self.loop = loop
        self._hand_over = hand_over
        self._limit = limit
        self._waiting: list[Item] = []
        self._seen = 0
        self._last_count = 0
        self._is_collecting = False
        self._is_under_way = False

    @property
    def waiting(self) -> list[Item]:
        """The items that were not handed over."""
        return list(self._waiting)

    def add(self, item: Item) -> None:
        """Add an item to the next batch. Call it on the event loop."""
        self._waiting.append(item)
        if not self._is_collecting and not self._is_under_way:
            self._begin()

    def done(self) -> None:
        """Say that the batch under way was answered. Call it on the event loop."""
        self._is_under_way = False
        if self._waiting:
            self._begin()

    def flush(self) -> None:
        """Hand over everything that waits, without waiting for the batch under way."""
        while self._waiting:
            self._hand_over_now()

    def _begin(self) -> None:
        if self._last_count <= 1 and len(self._waiting) == 1:
            self._hand_over_now()
            return
        self._is_collecting = True
        self._seen = 0
        self.loop.call_soon(self._look, self.loop.time())

    def _look(self, began: float) -> None:
        """Hand over, unless the last turn brought more items and there is time to wait for others."""
        count = len(self._waiting)
        if self._seen < count < self._limit and self.loop.time() - began < _MAX_WAIT_SECONDS:
            self._seen = count
            self.loop.call_soon(self._look, began)
            return
        self._is_collecting = False
        if self._waiting:
            self._hand_over_now()

    def _hand_over_now(self) -> None:
        batch = self._waiting[: self._limit]
        del self._waiting[: self._limit]
        self._last_count = len(batch)
        self._is_under_way = True
        try:
            self._hand_over(batch)
        except BaseException:
            # Nobody will call `done` for it, and later items must not wait for that.
            self._is_under_way = False
            raise
