"""The admin listener: `/metrics`, `/healthz`, `/readyz` for programs, `/dashboard/` for people.

One check covers all of it: which `Host` a request may name. A foreign web page can make its own name resolve to this
listener and then read the answers (DNS rebinding). It cannot do so with an address, or with a name that no stranger can
register.
"""

from collections.abc import Collection, Sequence
from http.client import responses
from ipaddress import ip_address
from typing import Any

import orjson
from tornado.httputil import HTTPServerRequest, split_host_and_port
from tornado.web import Application, RequestHandler

from provider.admin.dashboard.page import Dashboard, dashboard_routes
from provider.admin.health import Liveness, Readiness
from provider.observability.metrics import Board
from provider.observability.metrics.exposition import CONTENT_TYPE, expose
from provider.override import override
from provider.wire.text import ows

# Names outside the public DNS (RFC 6761, RFC 6762, RFC 9476 and ICANN's `.internal`).
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".alt", ".home.arpa", ".svc", ".test")
REFUSED = "This host is not accepted here: use an address, or add the name to PROVIDER_ADMIN_HOSTS.\n"


def is_accepted(host: str, named: Collection[str]) -> bool:
    """Tell whether this `Host` is an address, a private name, or one of `named` (lower case, without port)."""
    name = split_host_and_port(ows(host).lower())[0].removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        ip_address(name)
    except ValueError:
        return name in named or (bool(name) and ("." not in name or name.endswith(PRIVATE_SUFFIXES)))
    return True


class AdminApplication(Application):
    """Routes requests whose `Host` is accepted: addresses, private names, and `hosts`."""

    def __init__(self, routes: Sequence[Any], *, hosts: Collection[str] = ()) -> None:
        super().__init__(list(routes), log_function=lambda _: None)
        self._hosts = frozenset(hosts)

    @override
    def find_handler(self, request: HTTPServerRequest, **more: Any) -> Any:
        if is_accepted(request.host, self._hosts):
            return super().find_handler(request, **more)
        return self.get_handler_delegate(request, MisdirectedHandler)


class MisdirectedHandler(RequestHandler):
    """Answers 421 to everything (RFC 9110 section 15.5.20)."""

    @override
    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    @override
    def prepare(self) -> None:
        self.set_status(421)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(REFUSED)


class AdminHandler(RequestHandler):
    """Base class: no caching, no framework name, no guessing of content types."""

    @override
    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    @override
    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps({"error": responses.get(status_code, "Unknown"), "status": status_code}))


class MetricsHandler(AdminHandler):
    """Prometheus text format; with several workers, the sum over all of them."""

    def initialize(self, board: Board) -> None:
        """Take the board, which has the values of all workers."""
        self._board = board

    @override
    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(expose(self._board.read()) if self._board.is_on else b"# PROVIDER_METRICS is off\n")


class HealthHandler(AdminHandler):
    """Answers 200 while the workers' event loops turn, otherwise 503 with the faults: a restart may help."""

    def initialize(self, liveness: Liveness) -> None:
        """Take the liveness to report."""
        self._liveness = liveness

    @override
    def get(self) -> None:
        faults = self._liveness.faults()
        self.set_status(503 if faults else 200)
        self.finish({"status": "stuck", "faults": faults} if faults else {"status": "alive"})


class ReadyHandler(AdminHandler):
    """Answers 200 when every check passes, otherwise 503 with what is wrong."""

    def initialize(self, readiness: Readiness) -> None:
        """Take the readiness to report."""
        self._readiness = readiness

    @override
    async def get(self) -> None:
        verdict = await self._readiness.judge()
        self.set_status(200 if verdict.ready else 503)
        self.finish({"ready": verdict.ready, "checks": dict(verdict.checks)})


def admin_application(
    board: Board, readiness: Readiness, liveness: Liveness, dashboard: Dashboard, *, hosts: Collection[str]
) -> AdminApplication:
    """Make the application of the admin listener; `hosts` as in `AdminApplication`."""
    return AdminApplication(
        [
            (r"/metrics", MetricsHandler, {"board": board}),
            (r"/healthz", HealthHandler, {"liveness": liveness}),
            (r"/readyz", ReadyHandler, {"readiness": readiness}),
            *dashboard_routes(dashboard),
        ],
        hosts=hosts,
    )
