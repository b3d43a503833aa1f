"""Takes uses from requests that have ended, and writes them into the file in batches."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from provider.books.config import BooksConfig
from provider.books.record import Use
from provider.books.sql import Writer, open_books
from provider.errors import StoreError
from provider.observability.metrics.backends import BooksMetrics
from provider.sqlite import SqliteThread

WRITE_SECONDS = 1.0
"""The longest time that a use waits for its write. A crash loses no more than this."""
BATCH = 2_000
"""If this many uses wait, they are written at once."""
MAX_WAITING = 20_000
"""Uses in memory while the disk is slow or full. Each takes about 1 KiB."""

_log = logging.getLogger(__name__)


class Ledger:
    """The file at `path`, created at the first use; its directory must exist. One thread owns it.

    A write that fails is tried again every second. Requests never wait for it, and never fail because of it.
    """

    def __init__(
        self,
        path: str,
        config: BooksConfig,
        metrics: BooksMetrics,
        *,
        busy_timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        connect = partial(open_books, Path(path), busy_timeout_seconds=busy_timeout_seconds)
        self._file = SqliteThread(Path(path), connect, name="books")
        self._writer = Writer(config)
        self._metrics = metrics
        self._clock = clock
        self._waiting: list[Use] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._is_failing = False
        metrics.up.set(1)

    def add(self, use: Use) -> None:
        """Record a use. Never waits and never raises. The use must not change afterwards."""
        if self._file.is_closed or len(self._waiting) >= MAX_WAITING:
            self._metrics.records.add("lost")
            return
        self._waiting.append(use)
        if len(self._waiting) >= BATCH and not self._is_failing:
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._begin)

    async def close(self) -> None:
        """Write the uses that wait, and close the file."""
        while self._writing is not None:
            await asyncio.wait({self._writing})
            # Its callback runs after this one was woken.
            await asyncio.sleep(0)
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, []
        if waiting:
            try:
                await self._file.run(partial(self._write, waiting))
                self._metrics.records.add("written", by=len(waiting))
            except Exception as error:  # noqa: BLE001 - the top of a background task, and the file has to be closed
                self._lose(len(waiting), error)
        await self._file.close()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._waiting:
            batch, self._waiting = self._waiting, []
            self._writing = self._file.run(partial(self._write, batch))
            self._writing.add_done_callback(partial(self._written, batch))

    def _write(self, batch: list[Use]) -> None:
        """Runs in the file's thread. Raises StoreError."""
        self._file.attempt(lambda connection: self._writer.write(connection, batch, self._clock()))

    def _written(self, batch: list[Use], writing: "asyncio.Future[None]") -> None:
        self._writing = None
        try:
            writing.result()
        except asyncio.CancelledError:
            return
        except StoreError as error:
            self._keep(batch, error)
        except Exception as error:  # noqa: BLE001 - the top of a background task: these must not hold up later ones
            self._lose(len(batch), error)
        else:
            self._metrics.records.add("written", by=len(batch))
            if self._is_failing:
                self._is_failing = False
                self._metrics.up.set(1)
                _log.warning("the books can be written again")
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._begin)

    def _keep(self, batch: list[Use], error: StoreError) -> None:
        """Keep a batch that could not be written for the next attempt, as far as there is room."""
        if not self._is_failing:
            self._is_failing = True
            self._metrics.up.set(0)
            _log.error("the books cannot be written, downloads go on: %s", error.detail)
        waiting = batch + self._waiting
        self._waiting = waiting[:MAX_WAITING]
        if len(waiting) > MAX_WAITING:
            self._metrics.records.add("lost", by=len(waiting) - MAX_WAITING)

    def _lose(self, count: int, error: Exception) -> None:
        self._metrics.records.add("lost", by=count)
        if isinstance(error, StoreError):
            _log.error("%d records of the books are lost: %s", count, error.detail)
        else:
            _log.error("%d records of the books are lost", count, exc_info=error)
