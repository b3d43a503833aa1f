"""The one table of endpoints: method, path, handler, and what that handler needs of the rooms below it."""

from dataclasses import dataclass

from provider.assets.catalog import Catalog
from provider.assets.chain_index import DocumentOpener
from provider.auth.identify import Identifier
from provider.auth.sqlite_store import SqliteNonceStore
from provider.chain.networks import Networks
from provider.files.opener import FileListOpener
from provider.handlers.decrypt import DecryptEndpoint
from provider.handlers.download import DownloadEndpoint
from provider.handlers.encrypt import EncryptEndpoint
from provider.handlers.fileinfo import FileInfoEndpoint
from provider.handlers.initialize import InitializeEndpoint
from provider.handlers.nonce import NonceEndpoint
from provider.handlers.root import RootEndpoint, describe
from provider.handlers.routes import Route
from provider.orders.lookup import OrderLookup
from provider.settings import Settings
from provider.streaming.limits import StreamLimits
from provider.upstream.http_source import HttpOrigin


@dataclass(frozen=True, slots=True)
class Rooms:
    """What endpoints are made of."""

    networks: Networks
    nonces: SqliteNonceStore
    identifier: Identifier
    catalog: Catalog
    lookup: OrderLookup
    files: FileListOpener
    origin: HttpOrigin
    open_document: DocumentOpener


def routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """The one table: method, path, endpoint, and what that endpoint needs."""
    return [
        Route("GET", "/", RootEndpoint, {"document": describe(rooms.networks)}),
        Route("HEAD", "/", RootEndpoint, {"document": describe(rooms.networks)}),
        Route("GET", "/api/services/nonce", NonceEndpoint, {"nonces": rooms.nonces}),
        Route("POST", "/api/services/encrypt", EncryptEndpoint, {"networks": rooms.networks}),
        Route(
            "POST",
            "/api/services/decrypt",
            DecryptEndpoint,
            {
                "networks": rooms.networks,
                "identifier": rooms.identifier,
                "lookup": rooms.lookup,
                "authorized_decrypters": settings.security.authorized_decrypters,
                "open_document": rooms.open_document,
            },
        ),
        Route(
            "GET",
            "/api/services/initialize",
            InitializeEndpoint,
            {
                "catalog": rooms.catalog,
                "lookup": rooms.lookup,
                "files": rooms.files,
                "origin": rooms.origin,
                "nonces": rooms.nonces,
            },
        ),
        Route(
            "GET",
            "/api/services/download",
            DownloadEndpoint,
            {
                "identifier": rooms.identifier,
                "catalog": rooms.catalog,
                "lookup": rooms.lookup,
                "files": rooms.files,
                "origin": rooms.origin,
                "limits": StreamLimits(
                    max_streams_per_consumer=settings.limits.max_streams_per_consumer,
                    max_bytes_per_second_per_stream=settings.limits.max_bytes_per_second_per_stream,
                    max_bytes_per_second_per_consumer=settings.limits.max_bytes_per_second_per_consumer,
                ),
                "idle_timeout_seconds": settings.upstream.idle_timeout_seconds,
            },
        ),
        *_fileinfo_routes(settings, rooms),
    ]


def _fileinfo_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """ocean.js 9 writes fileInfo; every other client takes the lower-case path from `GET /`."""
    needs = {
        "catalog": rooms.catalog,
        "files": rooms.files,
        "origin": rooms.origin,
        "max_checksum_bytes": settings.upstream.max_checksum_bytes,
    }
    paths = ("/api/services/fileinfo", "/api/services/fileInfo")
    return [Route("POST", path, FileInfoEndpoint, needs) for path in paths]
