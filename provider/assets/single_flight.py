"""Work that many callers want done: at most one run at a time, shared by the callers that may share it."""

import asyncio
from collections.abc import Callable, Coroutine


class SingleFlight:
    """Runs `work(budget_seconds)`, which returns whether it finished within the budget (None: no limit).

    If a caller is cancelled, the run continues for the others. `pause_seconds`: shortest time from the start of one run
    to the start of the next that `fresh` causes.
    """

    def __init__(self, work: Callable[[float | None], Coroutine[None, None, bool]], *, pause_seconds: float) -> None:
        self._work = work
        self._pause_seconds = pause_seconds
        self._running: asyncio.Task[bool] | None = None
        self._began_at: float | None = None
        self._is_pausing = False

    async def join(self, budget_seconds: float | None) -> bool:
        """Outcome of the run in progress, else of a new one."""
        return await self._outcome(self._running or self._begin(budget_seconds, pause_seconds=0.0))

    async def fresh(self, budget_seconds: float | None) -> bool:
        """Outcome of a run that begins after this call, since one in progress may have looked too early."""
        if self._running is not None and not self._is_pausing:
            await asyncio.wait({self._running})
        return await self._outcome(self._running or self._begin(budget_seconds, pause_seconds=self._pause_seconds))

    async def close(self) -> None:
        """Cancel the run in progress."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _outcome(self, task: asyncio.Task[bool]) -> bool:
        # Unlike awaiting the task, this leaves it running if the caller is cancelled.
        await asyncio.wait({task})
        return task.result()

    def _begin(self, budget_seconds: float | None, *, pause_seconds: float) -> asyncio.Task[bool]:
        self._running = asyncio.create_task(self._run(budget_seconds, pause_seconds))
        # Runs before any waiting caller is woken, so a finished run is never joined.
        self._running.add_done_callback(self._end)
        return self._running

    def _end(self, task: asyncio.Task[bool]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # marks the failure as seen, so that asyncio does not log it

    async def _run(self, budget_seconds: float | None, pause_seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        if self._began_at is not None and (early := self._began_at + pause_seconds - loop.time()) > 0:
            self._is_pausing = True
            try:
                await asyncio.sleep(early)
            finally:
                self._is_pausing = False
        self._began_at = loop.time()
        return await self._work(budget_seconds)
