"""Probes the origins of sold files, each file once in a period, so that the owner learns of a dead origin early.

One worker does it for its host. The results go to the health of the files and not into the ledger, because nobody took
anything.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from provider.books.health import Health
from provider.books.record import COMPLETE
from provider.errors import ProviderError
from provider.errors.fault import fault_of
from provider.observability.metrics.backends import BooksMetrics

ATTEMPTS = 3
"""A file that fails is probed again, up to the number of failures in a row that raises the alert."""
RETRY_SECONDS = 600.0
SOLD_DAYS = 90
"""Files that nobody took for this long are not probed."""
MAX_FILES = 5_000
"""Most files probed in a period. Datasets share them."""
AT_ONCE = 16
"""Probes at the same time. More of them wait, so that slow origins delay the turns of others and cancel none."""
LONGEST_SECONDS = 60.0
"""A probe that takes longer says nothing. If all files were as slow, each would still get its turns in a day."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class SoldFile:
    """A file that somebody bought and took."""

    did: str
    service_id: str
    file_index: int


def due_at(file: SoldFile, after: float, period_seconds: float) -> float:
    """The first time at or after `after` (unix seconds) when a file's turn comes.

    The place in the period follows from the file's name, so turns are spread evenly and a restart does not move them.
    """
    digest = hashlib.sha256(f"{file.did}/{file.service_id}/{file.file_index}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64 * period_seconds
    return after + (place - after) % period_seconds


class Prober:
    """Probes each file when its turn comes.

    Args:
        sold: the files, the most important first. Raises StoreError.
        ask: asks the origin of one file. Returns COMPLETE or an error code.
        health: takes the results.
        metrics: counts the results.
        period_seconds: each file is asked once in this time.
        clock, pause: time in unix seconds, and how to wait.
    """

    def __init__(
        self,
        *,
        sold: Callable[[], Awaitable[Sequence[SoldFile]]],
        ask: Callable[[SoldFile], Awaitable[str]],
        health: Health,
        metrics: BooksMetrics,
        period_seconds: float,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sold = sold
        self._ask = ask
        self._health = health
        self._metrics = metrics
        self._period_seconds = period_seconds
        self._retry_seconds = min(RETRY_SECONDS, period_seconds / 10)
        self._free = asyncio.Semaphore(AT_ONCE)
        self._clock = clock
        self._pause = pause
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the first period. `close` ends it."""
        self._task = asyncio.create_task(self._work())

    def hand_over(self) -> None:
        """Leave the probes to another process from here on."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stop at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _work(self) -> None:
        begin = self._clock()
        while True:
            try:
                await self.ask_all(begin)
            except Exception as error:  # noqa: BLE001 - the top of a background task, which must not end
                _report(error)
            begin += self._period_seconds
            if not self._is_near(begin):
                # The machine slept, or its clock was set.
                begin = self._clock()
            await self._until(begin)

    async def ask_all(self, begin: float) -> None:
        """Ask every file once in the period from `begin` (unix seconds). Raises StoreError.

        If the clock is set back by more than a period, the rest of the files is left to the next one.
        """
        turns = sorted((due_at(file, begin, self._period_seconds), file) for file in (await self._sold())[:MAX_FILES])
        async with asyncio.TaskGroup() as asking:
            for due, file in turns:
                if due > self._clock() and not self._is_near(due):
                    break
                await self._until(due)
                asking.create_task(self._take_turn(file))

    async def _take_turn(self, file: SoldFile) -> None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._pause(self._retry_seconds)
            async with self._free:
                if await self._probe(file) != "failed":
                    return

    async def _probe(self, file: SoldFile) -> str:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                code = await self._ask(file)
        except TimeoutError:
            self._metrics.probes.add("skipped")
            return "skipped"
        except Exception as error:  # noqa: BLE001 - the top of a background task, which has other files to ask for
            _log.error("a sold file could not be probed", exc_info=error)
            self._metrics.probes.add("skipped")
            return "skipped"
        if code != COMPLETE and fault_of(code) != "origin":
            # Withdrawn by its publisher, or a node does not answer: nothing is known about the origin.
            result = "skipped"
        else:
            result = "ok" if code == COMPLETE else "failed"
            self._health.probed(file.did, file.file_index, code, self._clock())
        self._metrics.probes.add(result)
        return result

    def _is_near(self, at: float) -> bool:
        return abs(at - self._clock()) <= self._period_seconds

    async def _until(self, at: float) -> None:
        if (wait := at - self._clock()) > 0:
            await self._pause(wait)


def _report(error: Exception) -> None:
    if isinstance(error, ProviderError):
        _log.warning("sold files were not probed: %s", error.detail or error.public_text)
    else:
        _log.error("probing sold files failed", exc_info=error)
