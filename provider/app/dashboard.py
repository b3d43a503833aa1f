"""Builds this worker's board, and the dashboard that shows the boards of all workers."""

import heapq
import os
import time
from functools import partial
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
from provider.streaming.progress import Progress


def build_board(metrics: Metrics, parts: Parts, shared_directory: str | None) -> Board:
    """Build the board in which this worker publishes its metrics, and its figures for the dashboard."""
    figures = OwnFigures(partial(_listed, parts), metrics.streams, parts.frame.books.health, parts.frame.last_errors)
    return Board(metrics, figures.take, shared_directory)


def build_dashboard(settings: Settings, board: Board, parts: Parts) -> Dashboard:
    """Build the dashboard. `feed.start` begins to record."""
    sampler = Sampler(board, parts.networks, parts.readiness)
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


def _listed(parts: Parts, most: int) -> list[StreamNow]:
    under_way = (
        (progress, endpoint)
        for endpoint in parts.frame.in_progress
        if isinstance(endpoint, StreamingEndpoint) and (progress := endpoint.progress) is not None
    )
    # There may be thousands, and the loop waits meanwhile.
    listed = heapq.nlargest(most, under_way, key=lambda stream: stream[0].bytes_sent)
    return [_stream_now(*stream) for stream in listed]


def _stream_now(progress: Progress, endpoint: StreamingEndpoint[Any]) -> StreamNow:
    use = endpoint.use
    return StreamNow(
        number=progress.number,
        endpoint=endpoint.endpoint,
        path=progress.path,
        started_at=endpoint.started_at,
        sent_bytes=progress.bytes_sent,
        waits_for="consumer" if progress.awaits_consumer else "origin" if progress.awaits_origin else "",
        did="" if use is None else use.did,
        file_index=None if use is None else use.file_index,
        length_bytes=progress.length_bytes,
    )
