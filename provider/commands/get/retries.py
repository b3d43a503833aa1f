"""Pauses between attempts: as long as the server asks for, otherwise growing."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from provider.commands.get.failures import GetFailed, TryLater
from provider.commands.get.plan import MAX_ATTEMPTS, MAX_PATIENCE_SECONDS, delay_seconds

Pause = Callable[[float, str], Awaitable[None]]
"""Waits for a number of seconds; the text says why."""
T = TypeVar("T")


async def wait(seconds: float, _: str) -> None:
    """Wait without a note for the user."""
    await asyncio.sleep(seconds)


class Retries:
    """Counts the attempts in a row that brought no bytes."""

    def __init__(self, pause: Pause) -> None:
        self.failed = 0
        self._pause = pause

    def progress(self) -> None:
        """Record that bytes arrived: the next failure is the first one again."""
        self.failed = 0

    async def wait(self, cause: TryLater) -> None:
        """Pause before the next attempt. Raises GetFailed if there are no more attempts."""
        self.failed += 1
        asked = cause.pause_seconds
        if asked is not None and asked > MAX_PATIENCE_SECONDS:
            raise GetFailed(f"{cause}; the server asks to come back in {asked:.0f} s")
        if self.failed >= MAX_ATTEMPTS:
            raise GetFailed(f"{cause}; gave up after {self.failed} attempts")
        seconds = delay_seconds(self.failed, random.random())  # noqa: S311 - no secret
        await self._pause(seconds if asked is None else max(asked, seconds), str(cause))


async def patiently(action: Callable[[], Awaitable[T]], pause: Pause) -> T:
    """Repeat an action that raises TryLater, with pauses. Raises GetFailed after the last attempt."""
    retries = Retries(pause)
    while True:
        try:
            return await action()
        except TryLater as cause:
            await retries.wait(cause)
