"""`/dashboard`: shows the server at a glance without Grafana. Serves a page, its files, and a stream of events."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http.client import responses
from importlib.resources import files
from pathlib import PurePath
from string import Template
from typing import Any

from tornado.iostream import IOStream
from tornado.web import RequestHandler

from provider.admin.dashboard import uplot
from provider.admin.dashboard.errors_page import errors_page
from provider.admin.dashboard.feed import Feed
from provider.override import override

MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
OWN_ASSETS = ("dashboard.css", "dashboard.js", "format.js", "charts.js", "tables.js", "icon.svg")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A page may miss this many pictures in a row before it is dropped.
MAX_SKIPPED = 10
# A larger buffer would hold minutes of pictures for a page that reads none.
SEND_BUFFER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`hello` is sent once to each page."""

    feed: Feed
    hello: Callable[[], Mapping[str, Any]]
    close_sampler: Callable[[], Awaitable[None]]

    async def close(self) -> None:
        """Drop all pages and end the work for them."""
        self.feed.close()
        await self.close_sampler()


class DashboardHandler(RequestHandler):
    """Base of the handlers. Its headers keep other sites from framing, reading or loading the page."""

    def _begin(self, *, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    # Declared as Tornado does, so that each may have its own arguments.
    initialize: Callable[..., None] = _begin

    def set_default_headers(self) -> None:
        """Headers of every answer."""
        self.clear_header("Server")
        for name, value in (
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("X-Frame-Options", "DENY"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ):
            self.set_header(name, value)

    @override
    def write_error(self, status_code: int, **_: Any) -> None:
        self._end(status_code, responses.get(status_code, "Unknown"))

    def _end(self, status: int, text: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{text}\n")


class DashboardPageHandler(DashboardHandler):
    """The page. All its references are relative to its folder."""

    @override
    async def get(self) -> None:
        page = await asyncio.to_thread(_asset("dashboard.html").read_text, "utf-8")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        integrity = {name.replace(".", "_"): value for name, value in uplot.INTEGRITY.items()}
        self.finish(Template(page).substitute(uplot=uplot.VERSION, **integrity))


class DashboardErrorsHandler(DashboardHandler):
    """Every error code with cause and remedy."""

    @override
    async def get(self) -> None:
        page = await asyncio.to_thread(_errors_page)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page)


@cache
def _errors_page() -> str:
    # Reads the sources, which takes a while; imported when somebody asks.
    from provider.errors.document import page  # noqa: PLC0415

    return errors_page(page())


class DashboardRedirectHandler(DashboardHandler):
    """Redirects to `target`, the page's folder: relative, so that a path prefix is kept (RFC 9110 section 10.2.2)."""

    @override
    def initialize(self, *, dashboard: Dashboard, target: str) -> None:
        super().initialize(dashboard=dashboard)
        self._target = target

    @override
    def get(self) -> None:
        self.set_status(308)
        self.set_header("Location", self._target)
        self.finish()


class DashboardAssetHandler(DashboardHandler):
    """The file `name` of the page. Files of the charting library have its version in the path, so they may be kept."""

    @override
    def initialize(self, *, dashboard: Dashboard, name: str) -> None:
        super().initialize(dashboard=dashboard)
        self._name = name

    @override
    async def get(self) -> None:
        content = await asyncio.to_thread(_asset(self._name).read_bytes)
        self.set_header("Content-Type", MEDIA_TYPES[PurePath(self._name).suffix])
        if self._name in uplot.INTEGRITY:
            self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.finish(content)


class DashboardEventsHandler(DashboardHandler):
    """The stream of pictures. A page that does not read misses pictures, then is dropped. One picture at most waits."""

    @override
    async def get(self) -> None:
        self._dropped = asyncio.Event()
        self._skipped = 0
        self._sending: asyncio.Future[None] | None = None
        self.set_header("Content-Type", "text/event-stream")
        # Reverse proxies such as nginx must not buffer events.
        self.set_header("X-Accel-Buffering", "no")
        stream = getattr(self.request.connection, "stream", None)
        if isinstance(stream, IOStream):
            _limit_buffer(stream)
        if not self._dashboard.feed.join(self, self._dashboard.hello()):
            self._end(503, "Too many pages are open.")
            return
        await self._dropped.wait()

    def send(self, event: bytes) -> bool:
        """Send the event; skip it if the page has not read the last one. Returns False if the page must be dropped."""
        if self._sending is not None and not self._sending.done():
            self._skipped += 1
            return self._skipped <= MAX_SKIPPED
        self._skipped = 0
        self.write(event)
        self._sending = self.flush()
        return True

    def drop(self) -> None:
        """Send nothing more, and end the stream."""
        self._dropped.set()
        if self._sending is not None and not self._sending.done():
            # The page reads nothing, so an orderly end would wait for ever.
            self.detach().close()

    @override
    def on_connection_close(self) -> None:
        self._dashboard.feed.leave(self)
        self._dropped.set()


def _limit_buffer(stream: IOStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def _asset(name: str) -> Any:
    return files("provider.admin.dashboard") / "assets" / name


def dashboard_routes(dashboard: Dashboard) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return the routes of the dashboard for the admin listener."""
    needs = {"dashboard": dashboard}
    own = [(rf"/dashboard/{name}", name) for name in OWN_ASSETS]
    library = [
        (rf"/dashboard/uplot-{uplot.VERSION}/{name}", name)
        for name in uplot.INTEGRITY
        if PurePath(name).suffix in MEDIA_TYPES
    ]
    return [
        (r"/", DashboardRedirectHandler, {**needs, "target": "dashboard/"}),
        (r"/dashboard", DashboardRedirectHandler, {**needs, "target": "dashboard/"}),
        (r"/dashboard/", DashboardPageHandler, needs),
        (r"/dashboard/errors", DashboardErrorsHandler, needs),
        (r"/dashboard/events", DashboardEventsHandler, needs),
        *((path.replace(".", r"\."), DashboardAssetHandler, {**needs, "name": name}) for path, name in own + library),
    ]
