"""`GET /spec`, the OpenAPI document, and `GET /api/docs/`, Swagger UI served from this machine.

Old Providers had Swagger 2.0 at `/spec`. No client is known to read it, and a document that claims both versions is
valid in neither, so there is one answer: OpenAPI 3.1, with `info` and `paths` where they were.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import IO

from provider.errors import RouteNotFound
from provider.handlers.base import PIECE_BYTES, Endpoint
from provider.override import override
from provider.wire.text import ows

# Of the package swagger-ui-bundle-v2, whose files are those of npm's swagger-ui-dist of the same version.
SWAGGER_UI = "5.31.0"
# Browsers refuse other bytes (Subresource Integrity, W3C).
INTEGRITY = {
    "swagger-ui-bundle.js": "sha384-cxafBeQ+zYROeFafGFxtFbnp1ICqeS9mG7+f0WWSHzhnrUvwg9Za5CCw6wgrHA7K",
    "swagger-ui.css": "sha384-KX9Rx9vM1AmUNAn07bPAiZhFD4C8jdNgG6f5MRNvR+EfAxs2PmMFtUUazui7ryZQ",
}
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".png": "image/png"}
ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")

# The server's URL is the one that the browser came by, which only the browser knows behind a path prefix.
START = """\
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
fetch("../../spec").then((reply) => reply.json()).then((spec) => SwaggerUIBundle({
  spec: {...spec, servers: [{url: new URL("../..", location).href.replace(/\\/$/, "")}]},
  dom_id: "#api", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"}));"""
# Every reference is relative, so that the page works behind a path prefix.
PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Provider</title>
<link rel="icon" type="image/png" href="{SWAGGER_UI}/favicon-32x32.png">
<link rel="stylesheet" href="{SWAGGER_UI}/swagger-ui.css" integrity="{INTEGRITY["swagger-ui.css"]}">
<style>
:root {{ color-scheme: light dark; }}
nav {{ font: 0.875rem system-ui, sans-serif; padding: 1rem 1.25rem 0; max-width: 1460px; margin: auto; }}
nav a {{ margin-right: 1.25rem; }}
</style>
</head>
<body>
<nav aria-label="Provider"><a href="../../">This Provider</a><a href="../../spec">OpenAPI 3.1 document</a></nav>
<div id="api"></div>
<script src="{SWAGGER_UI}/swagger-ui-bundle.js" integrity="{INTEGRITY["swagger-ui-bundle.js"]}"></script>
<script>{START}</script>
</body>
</html>
"""


def _source_hash(script: str) -> str:
    """Return the name of an inline script in Content Security Policy Level 3."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' {_source_hash(START)}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class SpecDeps:
    """`render` returns the JSON, the same bytes each time."""

    render: Callable[[], bytes]


class SpecEndpoint(Endpoint[SpecDeps]):
    """Serves the description of the API. It is made at the first request and kept as bytes."""

    endpoint = "spec"

    async def handle(self) -> None:
        """Reply with the description, or 304 if the client has it (RFC 9110 section 13.1.2)."""
        body = self.deps.render()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self.set_header("ETag", tag)
        self.set_header("Cache-Control", "no-cache")
        offered = self.request.headers.get("If-None-Match", "")
        if tag in offered or ows(offered) == "*":
            self.set_status(304)
            return
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)


class DocsRedirectEndpoint(Endpoint[None]):
    """Redirects to the page's folder, because the references of the page are relative to it.

    The target is relative too, so that a path prefix is kept (RFC 9110 section 10.2.2).
    """

    endpoint = "docs_redirect"

    @override
    async def handle(self) -> None:
        self.set_status(308)
        self.set_header("Location", "docs/")


class DocsEndpoint(Endpoint[None]):
    """The page of Swagger UI, which reads the description of the API."""

    endpoint = "docs"

    @override
    async def handle(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Length", str(len(PAGE)))
        self.write(PAGE)


class DocsAssetEndpoint(Endpoint[str]):
    """A file of Swagger UI. Its path holds the version, so it may be kept for good (RFC 8246).

    `deps` is its name, one of ASSETS.
    """

    endpoint = "docs_asset"

    async def handle(self) -> None:
        """Reply piece by piece, so that a slow client does not keep the whole file in memory."""
        file = files("swagger_ui_bundle") / f"vendor/swagger-ui-{SWAGGER_UI}" / self.deps
        try:
            opened = await asyncio.to_thread(file.open, "rb")
        except FileNotFoundError:
            # Another version of the package than the pinned one.
            raise RouteNotFound from None
        with opened:
            self.set_header("Content-Type", MEDIA_TYPES[PurePath(self.deps).suffix])
            self.set_header("Cache-Control", "public, max-age=31536000, immutable")
            self.set_header("Content-Length", str(os.fstat(opened.fileno()).st_size))
            await self._send(opened)

    async def _send(self, opened: IO[bytes]) -> None:
        while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
            self.write(piece)
            await self.sent()
