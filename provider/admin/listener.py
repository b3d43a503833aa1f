"""`/metrics`, `/healthz` and `/readyz` for Prometheus and orchestrators."""

from collections.abc import Callable
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from tornado.web import Application, RequestHandler

from provider.admin.readiness import Readiness


class AdminHandler(RequestHandler):
    """Base: no cache, no framework name."""

    def set_default_headers(self) -> None:
        """Headers of every answer."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **_: Any) -> None:
        """Errors as JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps({"error": self._reason, "status": status_code}))


class MetricsHandler(AdminHandler):
    """Prometheus text format; with several workers the sum over all of them."""

    def initialize(
        self, registry: CollectorRegistry, publish: Callable[[], None], shared_directory: str | None
    ) -> None:
        """`shared_directory` holds the workers' values, or is None for one worker. `publish` brings ours up to date."""
        self._registry = registry
        self._publish = publish
        self._shared_directory = shared_directory

    def get(self) -> None:
        """Render."""
        self._publish()
        registry = self._registry
        if self._shared_directory is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._shared_directory)  # type: ignore[no-untyped-call]
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(registry))


class HealthHandler(AdminHandler):
    """The process is alive and its loop turns."""

    def get(self) -> None:
        """Reply."""
        self.finish({"status": "alive"})


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
    registry: CollectorRegistry, publish: Callable[[], None], readiness: Readiness, shared_directory: str | None
) -> Application:
    """The application behind the admin listener."""
    return Application(
        [
            (
                r"/metrics",
                MetricsHandler,
                {"registry": registry, "publish": publish, "shared_directory": shared_directory},
            ),
            (r"/healthz", HealthHandler),
            (r"/readyz", ReadyHandler, {"readiness": readiness}),
        ],
        log_function=lambda _: None,
    )
