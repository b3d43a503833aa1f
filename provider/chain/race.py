"""Ask one after the other, and the next one early when an answer is slow ("hedged requests", Dean and Barroso, The
Tail at Scale, 2013): the first good answer counts."""

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
    """The first answer, whose it is, and who was asked earlier and had not answered."""

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
    """The first answer of `ask`; None when every runner raised `failure`, each of which `failed` is told.

    After `patience_seconds` (0: never) without an answer `hedged` is told and the next runner asked as well. What is
    still under way when the answer comes is cancelled.
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
