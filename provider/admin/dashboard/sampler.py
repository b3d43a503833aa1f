"""Takes the pictures: reads metrics, streams and chains of this moment."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from provider.admin.dashboard.feed import Picture
from provider.admin.dashboard.frame import picture, point
from provider.admin.dashboard.live import OwnFigures, SharedFigures
from provider.admin.dashboard.sample import Moment, Reading, Window

# Nodes may be paid by the call, and a height is old by a block anyway.
LOOK_SECONDS = 10.0


class Sampler:
    """`read` gives the metrics of all workers; `endpoints` what is known of the chains' endpoints, `look` asks them."""

    def __init__(
        self,
        *,
        read: Callable[[], Reading],
        own: OwnFigures,
        shared: SharedFigures | None,
        endpoints: Callable[[], Sequence[Mapping[str, Any]]],
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._read = read
        self._own = own
        self._shared = shared
        self._endpoints = endpoints
        self._look = look
        self._window = Window()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -LOOK_SECONDS

    def take(self) -> Picture:
        """The picture of now."""
        self._look_now_and_then()
        workers = [self._own.take()]
        if self._shared is not None:
            self._shared.ask()
            workers += self._shared.others()
        self._window.add(Moment(workers[0]["at"], self._read(), workers))
        return point(self._window, time.time()), picture(self._window, self._endpoints())

    def stop(self) -> None:
        """Nobody looks: what is old when somebody does would be averaged over the time between."""
        self._window = Window()
        if self._looking is not None:
            self._looking.cancel()

    async def close(self) -> None:
        """As `stop`, and wait until nothing runs."""
        self.stop()
        if self._looking is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    def _look_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS and (self._looking is None or self._looking.done()):
            self._looked_at = now
            self._looking = asyncio.ensure_future(self._look())
