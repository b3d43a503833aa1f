"""Runs the lookups of one request in parallel, but only some at a time: anybody may ask for a quote of many items."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_LIMIT = 8


async def gather_limited(
    work: Callable[[T], Awaitable[R]], items: Sequence[T], *, limit: int = DEFAULT_LIMIT
) -> list[R]:
    """Return the results of `work` in the order of the items, with at most `limit` calls in progress.

    When a call fails, the calls for later items are cancelled or never started. When those for earlier items have
    ended, the failure of the first item that failed is raised. When this returns, raises or is cancelled, no call is
    left in progress.
    """
    turn = asyncio.Semaphore(limit)

    async def one(item: T) -> R:
        async with turn:
            return await work(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        await _until_decided(tasks)
    finally:
        await _cancel(tasks)
    return [task.result() for task in tasks]


async def _until_decided(tasks: Sequence["asyncio.Future[R]"]) -> None:
    """Wait until all have ended, or one has failed and all before it have ended."""
    deciding = list(tasks)
    while pending := [task for task in deciding if not task.done()]:
        await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((index for index, task in enumerate(deciding) if _has_failed(task)), None)
        if failed is not None:
            for task in deciding[failed + 1 :]:
                task.cancel()
            deciding = deciding[:failed]


async def _cancel(tasks: Sequence["asyncio.Future[R]"]) -> None:
    """Cancel what is still running, and retrieve every failure, as only one of them is raised."""
    under_way = [task for task in tasks if not task.done()]
    for task in under_way:
        task.cancel()
    if under_way:
        await asyncio.wait(under_way)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def _has_failed(task: "asyncio.Future[R]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
