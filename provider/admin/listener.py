"""`/metrics`, `/healthz` and `/readyz` for Prometheus and orchestrators, `/dashboard/` for people."""

from collections.abc import Collection
from http.client import responses
from typing import Any

import orjson
from tornado.web import RequestHandler

from provider.admin.dashboard.page import Dashboard, dashboard_routes
from provider.admin.hosts import AdminApplication
from provider.admin.liveness import Liveness
from provider.admin.readiness import Readiness
from provider.observability.metrics import Board
from provider.observability.metrics.exposition import CONTENT_TYPE, expose


class AdminHandler(RequestHandler):
    """Base: no cache, no framework name, no guessing of types."""

    def set_default_headers(self) -> None:
        """Headers of every answer."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **_: Any) -> None:
        """Errors as JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps({"error": responses.get(status_code, "Unknown"), "status": status_code}))


class MetricsHandler(AdminHandler):
    """Prometheus text format; with several workers the sum over all of them."""

    def initialize(self, board: Board) -> None:
        """`board` has the values of all workers."""
        self._board = board

    def get(self) -> None:
        """Render."""
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(expose(self._board.read()) if self._board.is_on else b"# PROVIDER_METRICS is off\n")


class HealthHandler(AdminHandler):
    """200 while the workers' event loops turn, else 503 with what is wrong: then a restart may help."""

    def initialize(self, liveness: Liveness) -> None:
        """`liveness` tells."""
        self._liveness = liveness

    def get(self) -> None:
        """Reply."""
        faults = self._liveness.faults()
        self.set_status(503 if faults else 200)
        self.finish({"status": "stuck", "faults": faults} if faults else {"status": "alive"})


class ReadyHandler(AdminHandler):
    """200 when every check passes, else 503 with what is wrong."""

    def initialize(self, readiness: Readiness) -> None:
        """`readiness` judges."""
        self._readiness = readiness

    async def get(self) -> None:
        """Reply."""
        verdict = await self._readiness.judge()
        self.set_status(200 if verdict.ready else 503)
        self.finish({"ready": verdict.ready, "checks": dict(verdict.checks)})


def admin_application(
    board: Board, readiness: Readiness, liveness: Liveness, dashboard: Dashboard, *, hosts: Collection[str]
) -> AdminApplication:
    """The application behind the admin listener; `hosts` as in `AdminApplication`."""
    return AdminApplication(
        [
            (r"/metrics", MetricsHandler, {"board": board}),
            (r"/healthz", HealthHandler, {"liveness": liveness}),
            (r"/readyz", ReadyHandler, {"readiness": readiness}),
            *dashboard_routes(dashboard),
        ],
        hosts=hosts,
    )
