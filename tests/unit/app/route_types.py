"""Routes whose dependencies do not fit their endpoint, for mypy. No test runs this.

`mypy` must refuse each line. One that it accepts has an unused `type: ignore`, which it reports.
"""

from provider.handlers.about.root import RootDeps, RootEndpoint
from provider.handlers.fallbacks import MethodNotAllowedEndpoint, NotFoundEndpoint, RefusedEndpoint
from provider.handlers.routes import Route

Route("GET", "/", RootEndpoint, None)  # type: ignore[misc]
Route("GET", "/", RootEndpoint, RootDeps)  # type: ignore[misc]
Route("GET", "/", NotFoundEndpoint, "GET")  # type: ignore[misc]
Route("GET", "/", MethodNotAllowedEndpoint, ("GET", "HEAD"))  # type: ignore[misc]
Route("GET", "/", RefusedEndpoint, "GET")  # type: ignore[misc]
