"""Who watches streams for a stall: one timer for all of them, in the order in which they are due."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest

from provider.streaming.progress import Progress, StallWatch, _Round


class Clock:
    """A loop as far as a round needs one. `timers`: when they are due, and what they call."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[[], None]) -> None:
        self.timers.append((due, callback))

    def run_until(self, until: float) -> None:
        while self.timers and min(self.timers)[0] <= until:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = until


class Side:
    """A sink, or what is called after a stall."""

    def taken_bytes(self) -> int:
        return 0


class Watch:
    """Notes when it is looked at, then does `what`."""

    def __init__(self, what: Callable[[], None] = lambda: None) -> None:
        self.looks: list[float] = []
        self.what = what

    def look(self, now: float) -> None:
        self.looks.append(now)
        self.what()


def round_of(clock: Clock, *watches: Watch) -> _Round:
    found = _Round(cast(asyncio.AbstractEventLoop, clock), 16.0)
    for watch in watches:
        found.add(cast(StallWatch, watch))
    return found


def test_watches_that_are_due_together_share_a_timer_and_a_look() -> None:
    clock, watches = Clock(), [Watch() for _ in range(50)]
    kept = round_of(clock, *watches)
    assert len(clock.timers) == 1
    clock.run_until(150.0)
    assert {tuple(watch.looks) for watch in watches} == {(116.0, 132.0, 148.0)}
    assert len(clock.timers) == 1
    del kept


def test_a_later_watch_has_its_own_time() -> None:
    clock, first, second = Clock(), Watch(), Watch()
    kept = round_of(clock, first)
    clock.now = 108.0
    kept.add(cast(StallWatch, second))
    clock.run_until(145.0)
    assert (first.looks, second.looks) == ([116.0, 132.0], [124.0, 140.0])


def test_nobody_is_looked_at_after_the_end_even_of_another_look() -> None:
    clock, second = Clock(), Watch()
    first = Watch(lambda: kept.discard(cast(StallWatch, second)))
    kept = round_of(clock, first, second)
    clock.run_until(117.0)
    assert (first.looks, second.looks) == ([116.0], [])
    kept.discard(cast(StallWatch, first))
    clock.run_until(200.0)
    assert (first.looks, clock.timers) == ([116.0], [])


def test_others_are_still_watched_after_an_unforeseen_failure() -> None:
    def fail() -> None:
        raise RuntimeError

    clock, first, second = Clock(), Watch(fail), Watch()
    kept = round_of(clock, first, second)
    with pytest.raises(RuntimeError):
        clock.run_until(117.0)
    first.what = lambda: None
    clock.run_until(140.0)
    assert second.looks == [116.0, 132.0]
    del kept


def test_a_watch_holds_nothing_of_a_stream_that_is_over() -> None:
    async def begin_and_stop() -> tuple[StallWatch, int]:
        sides: list[Any] = [Side(), Side(), Side()]
        watch = StallWatch(
            sides[0],
            Progress(),
            consumer_idle_seconds=1.0,
            origin_idle_seconds=1.0,
            on_consumer_stall=sides[1],
            on_origin_stall=sides[2],
        )
        await asyncio.sleep(0)
        watch.stop()
        left = [weakref.ref(side) for side in sides]
        sides.clear()
        return watch, sum(side() is not None for side in left)

    _, left = asyncio.run(begin_and_stop())
    assert left == 0


def test_each_stream_has_a_number_of_its_own() -> None:
    first, second = Progress(), Progress()
    assert second.number == first.number + 1
