"""Composition of the dashboard: what it is told of streams, chains and metrics."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provider import __version__
from provider.admin.dashboard.feed import Feed
from provider.admin.dashboard.live import OwnFigures, SharedFigures, StreamNow
from provider.admin.dashboard.page import Dashboard
from provider.admin.dashboard.sample import reading_of
from provider.admin.dashboard.sampler import Sampler
from provider.app.build import Parts
from provider.chain.networks import Networks
from provider.config import Settings
from provider.handlers.downloads.streaming import StreamingEndpoint
from provider.observability.metrics import Metrics
from provider.observability.metrics.catalog.streams import SENT_BYTES


@dataclass(frozen=True, slots=True)
class DashboardParts:
    """`answer` leaves this worker's figures for the one that shows them, if somebody looks."""

    dashboard: Dashboard
    own: OwnFigures
    shared: SharedFigures | None

    def answer(self) -> None:
        """To be called now and then, after `publish`."""
        if self.shared is not None:
            self.shared.answer(self.own.take)


def build_dashboard(settings: Settings, metrics: Metrics, parts: Parts, shared_directory: str | None) -> DashboardParts:
    """Nothing runs before somebody looks."""
    shared = None if shared_directory is None else SharedFigures(shared_directory)
    own = OwnFigures(lambda: _streams(parts), lambda: _sent_bytes(metrics, parts))
    sampler = Sampler(
        read=lambda: reading_of(metrics.read()),
        own=own,
        shared=shared,
        endpoints=lambda: _endpoints(parts.networks),
        look=lambda: _look(parts.networks),
    )
    started_at = time.time()

    def hello() -> dict[str, Any]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": started_at,
            "metrics": metrics.is_on,
            "workers": settings.server.workers,
            "chains": [{"id": network.chain_id, "name": network.name} for network in parts.networks],
        }

    dashboard = Dashboard(
        feed=Feed(sampler.take, stopped=sampler.stop),
        hello=hello,
        close_sampler=sampler.close,
    )
    return DashboardParts(dashboard, own, shared)


def _streams(parts: Parts) -> Iterator[StreamNow]:
    for endpoint in parts.frame.in_progress:
        if isinstance(endpoint, StreamingEndpoint) and (progress := endpoint.progress) is not None:
            waits_for = "consumer" if progress.awaits_consumer else "origin" if progress.awaits_origin else ""
            yield StreamNow(
                key=endpoint,
                endpoint=endpoint.endpoint,
                path=progress.path,
                started_at=endpoint.started_at,
                sent_bytes=progress.bytes_sent,
                waits_for=waits_for,
            )


def _sent_bytes(metrics: Metrics, parts: Parts) -> float:
    """Of this process, streams under way included; without metrics of those alone."""
    if not metrics.is_on:
        return sum(stream.sent_bytes for stream in _streams(parts))
    cells = metrics.snapshot().get(SENT_BYTES.name, ())
    return sum(value for _, value in cells if not isinstance(value, list))


def _endpoints(networks: Networks) -> list[dict[str, Any]]:
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
        for network in networks
        for health in network.rpc.healths()
    ]


async def _look(networks: Networks) -> None:
    await asyncio.gather(*(network.rpc.look() for network in networks))
