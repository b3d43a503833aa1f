"""Takes the pictures of the dashboard from metrics, streams and chains."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from provider.admin.dashboard.feed import Picture
from provider.admin.dashboard.frame import picture, point
from provider.admin.dashboard.sample import Moment, Window, reading_of
from provider.admin.health import Readiness
from provider.chain.networks import Networks
from provider.observability.metrics import Board

# Some nodes charge for each call, and a height is up to a block old anyway.
LOOK_SECONDS = 10.0
"""Between two questions to the nodes, and to the parts that readiness asks, while somebody looks."""


class Sampler:
    """`board` has the metrics and figures of all workers."""

    def __init__(self, board: Board, networks: Networks, readiness: Readiness) -> None:
        self._board = board
        self._networks = networks
        self._readiness = readiness
        self._checks: Mapping[str, str] = {}
        self._window = Window()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -LOOK_SECONDS

    def take(self, is_watched: bool) -> Picture:
        """Return the picture of this moment; without tables if nobody looks."""
        workers = self._board.watch() if is_watched else [self._board.own_figures()]
        self._window.add(Moment(workers[0]["at"], reading_of(self._board.read(), self._window.latest), workers))
        now = time.time()
        if not is_watched:
            return point(self._window, now), {}
        self._look_now_and_then()
        return point(self._window, now), picture(self._window, self._endpoints(), self._checks, now)

    def stop(self) -> None:
        """Ask nobody any more, because nobody looks."""
        if self._looking is not None:
            self._looking.cancel()

    async def close(self) -> None:
        """Stop, and wait until no question to a node is in progress."""
        self.stop()
        if self._looking is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    def _look_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS and (self._looking is None or self._looking.done()):
            self._looked_at = now
            self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        await asyncio.gather(*(network.rpc.endpoints.look() for network in self._networks))
        self._checks = (await self._readiness.judge()).checks

    def _endpoints(self) -> list[dict[str, Any]]:
        return [
            {
                "chain": network.chain_id,
                "name": network.name,
                "endpoint": health.index + 1,
                "standing": health.standing,
                "height": health.height,
                "latency": health.latency_seconds,
                "back_in_seconds": health.back_in_seconds,
            }
            for network in self._networks
            for health in network.rpc.endpoints.healths()
        ]
