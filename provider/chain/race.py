"""Asks runners one after another, and the next one early if an answer is slow. The first good answer counts.

These are "hedged requests" (Dean and Barroso, The Tail at Scale, 2013).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Runner = TypeVar("Runner")
Answer = TypeVar("Answer")

# More would multiply the load of a chain that is slow everywhere.
MAX_UNDER_WAY = 2


@dataclass(frozen=True, slots=True)
class Won(Generic[Runner, Answer]):
    """The first answer, the runner that gave it, and the runners that were asked earlier without answering."""

    runner: Runner
    answer: Answer
    beaten: tuple[Runner, ...]


async def first_answer(
    runners: Sequence[Runner],
    ask: Callable[[Runner], Awaitable[Answer]],
    *,
    failure: type[Exception],
    patience_seconds: float,
    failed: Callable[[Runner, Exception], None],
    hedged: Callable[[], None],
) -> Won[Runner, Answer] | None:
    """Return the first answer of `ask`; None if every runner raised `failure`. The other questions are cancelled.

    Args:
        runners: in the order in which to ask them.
        ask: asks one runner.
        failure: the exception after which the next runner is asked. Any other one is raised.
        patience_seconds: time without an answer after which the next runner is asked as well; 0 for never.
        failed: called with each failure.
        hedged: called when a further runner is asked because of the time.
    """
    waiting = list(runners)
    under_way: dict[asyncio.Future[Answer], Runner] = {}
    try:
        while waiting or under_way:
            if waiting and len(under_way) < MAX_UNDER_WAY:
                runner = waiting.pop(0)
                under_way[asyncio.ensure_future(ask(runner))] = runner
            limit = patience_seconds if patience_seconds and waiting and len(under_way) < MAX_UNDER_WAY else None
            done, _ = await asyncio.wait(under_way, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                hedged()
            for future in done:
                runner = under_way.pop(future)
                error = future.exception()
                if error is None:
                    earlier = runners[: runners.index(runner)]
                    return Won(runner, future.result(), tuple(one for one in under_way.values() if one in earlier))
                if not isinstance(error, failure):
                    raise error
                failed(runner, error)
        return None
    finally:
        for future in under_way:
            future.cancel()
