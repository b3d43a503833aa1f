"""Several look-ups of one request at a time, but not all: anybody may ask for a quote of many items."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8


async def in_turns(work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Results of `work` in the order of the items, at most AT_ONCE under way; raises the first failure of them."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with turn:
            return await work(item)

    outcomes = await asyncio.gather(*map(one, items), return_exceptions=True)
    results: list[R] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
