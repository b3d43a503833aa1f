"""Batches: what comes together is handed over together, what comes alone at once, one batch at a time."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial

import pytest

from provider.auth.batches import Batches
from provider.override import override


class Turns(asyncio.AbstractEventLoop):
    """An event loop that runs what is to come when the test says so, and whose clock the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self._soon: list[Callable[[], object]] = []

    @override
    def time(self) -> float:
        return self.now

    @override
    def get_debug(self) -> bool:
        return False

    @override
    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        self._soon.append(partial(callback, *args))
        return asyncio.Handle(callback, args, self, context)

    def run(self, count: int, *, seconds: float = 0) -> None:
        """Let `count` turns pass, each of `seconds`."""
        for _ in range(count):
            self.now += seconds
            soon, self._soon = self._soon, []
            for call in soon:
                call()


class Store:
    """Keeps the batches that it is handed."""

    def __init__(self, *, limit: int = 100) -> None:
        self.loop = Turns()
        self.handed: list[list[int]] = []
        self.batches: Batches[int] = Batches(self.loop, self.handed.append, limit=limit)

    def add(self, *items: int) -> None:
        for item in items:
            self.batches.add(item)


def test_what_comes_alone_is_handed_over_at_once() -> None:
    store = Store()
    for number in (1, 2):
        store.add(number)
        assert store.handed[-1] == [number]
        store.batches.done()


def test_one_batch_is_under_way_and_the_rest_waits_for_it() -> None:
    store = Store()
    store.add(1, 2, 3)
    store.loop.run(9)
    assert store.handed == [[1]]
    store.batches.done()
    store.loop.run(9)
    assert store.handed == [[1], [2, 3]]
    store.add(4)
    store.loop.run(9)
    assert len(store.handed) == 2


def test_a_busy_loop_collects_over_several_turns() -> None:
    store = Store()
    store.add(1, 2, 3)
    store.batches.done()
    for number in (4, 5, 6):
        store.loop.run(1)
        store.add(number)
    store.loop.run(9)
    assert store.handed == [[1], [2, 3, 4, 5, 6]]


def test_a_loop_that_is_always_busy_does_not_wait_for_ever() -> None:
    store = Store()
    store.add(1, 2, 3)
    store.batches.done()
    for number in range(4, 20):
        store.add(number)
        store.loop.run(1, seconds=0.001)
    assert store.handed == [[1], [2, 3, 4, 5, 6, 7, 8]]


def test_a_batch_has_at_most_its_limit() -> None:
    store = Store(limit=2)
    store.add(1, 2, 3, 4, 5)
    for _ in range(4):
        store.batches.done()
        store.loop.run(9)
    assert store.handed == [[1], [2, 3], [4, 5]]


def test_a_flush_hands_over_what_waits() -> None:
    store = Store()
    store.add(1, 2, 3)
    store.batches.flush()
    store.loop.run(9)
    assert store.handed == [[1], [2, 3]]


def test_a_flush_while_a_batch_is_collected_leaves_nothing_to_hand_over() -> None:
    store = Store()
    store.add(1, 2, 3)
    store.batches.done()
    store.batches.flush()
    store.loop.run(9)
    assert store.handed == [[1], [2, 3]]


def test_a_batch_that_cannot_be_handed_over_holds_up_no_later_one() -> None:
    handed: list[list[int]] = []

    def hand_over(batch: list[int]) -> None:
        if batch == [1]:
            raise ValueError("cannot be encoded")
        handed.append(batch)

    batches = Batches(Turns(), hand_over, limit=100)
    with pytest.raises(ValueError, match="cannot be encoded"):
        batches.add(1)
    batches.add(2)
    assert handed == [[2]]
