"""Builds the board of this worker, and the dashboard that shows the boards of all."""

import os
import time
from collections.abc import Iterator
from typing import Any

from provider import __version__
from provider.admin.dashboard.feed import Feed
from provider.admin.dashboard.live import OwnFigures, StreamNow
from provider.admin.dashboard.page import Dashboard
from provider.admin.dashboard.sampler import Sampler
from provider.app.build import Parts
from provider.config import Settings
from provider.handlers.downloads.streaming import StreamingEndpoint
from provider.observability.metrics import Board, Metrics


def build_board(metrics: Metrics, parts: Parts, shared_directory: str | None) -> Board:
    """Where this worker shows its metrics, and its figures for the dashboard."""
    figures = OwnFigures(lambda: _streams(parts), metrics.streams.all_sent, parts.frame.books.health)
    return Board(metrics, figures.take, shared_directory)


def build_dashboard(settings: Settings, board: Board, parts: Parts) -> Dashboard:
    """Nothing runs before somebody looks."""
    sampler = Sampler(board, parts.networks)
    started_at = time.time()

    def hello() -> dict[str, Any]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": started_at,
            "metrics": board.is_on,
            "workers": settings.server.workers,
            "chains": [{"id": network.chain_id, "name": network.name} for network in parts.networks],
        }

    return Dashboard(feed=Feed(sampler.take, stopped=sampler.stop), hello=hello, close_sampler=sampler.close)


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
