"""The one table of endpoints: method, path, handler, and what that handler needs of the rooms below it."""

import time
from dataclasses import dataclass
from functools import cache

import orjson

from provider.app.compute import Compute
from provider.assets.catalog import Catalog
from provider.auth.identify import Identifier
from provider.auth.nonce_store import NonceStore
from provider.auth.tokens import Tokens
from provider.cache import FactCache
from provider.chain.networks import Networks
from provider.config import Settings
from provider.files.opener import FileListOpener
from provider.files.origins import FileOrigins
from provider.handlers.about.direct_command import DirectCommandEndpoint, describe_node
from provider.handlers.about.docs import (
    ASSETS,
    SWAGGER_UI,
    DocsAssetEndpoint,
    DocsEndpoint,
    DocsRedirectEndpoint,
    SpecEndpoint,
)
from provider.handlers.about.root import Identity, RootEndpoint, describe, page_of
from provider.handlers.compute.jobs import (
    ComputeDeleteEndpoint,
    ComputeStartEndpoint,
    ComputeStatusEndpoint,
    ComputeStopEndpoint,
)
from provider.handlers.compute.quotes import ComputeEnvironmentsEndpoint, InitializeComputeEndpoint
from provider.handlers.compute.result import ComputeResultEndpoint
from provider.handlers.compute.validate_container import ValidateContainerEndpoint
from provider.handlers.downloads.download import DownloadEndpoint
from provider.handlers.downloads.fileinfo import FileInfoEndpoint, Items
from provider.handlers.downloads.initialize import InitializeEndpoint
from provider.handlers.identity.nonce import NonceEndpoint
from provider.handlers.identity.tokens import (
    CreateAuthTokenEndpoint,
    DeleteAuthTokenEndpoint,
    GenerateAuthTokenEndpoint,
    InvalidateAuthTokenEndpoint,
)
from provider.handlers.publishing.decrypt import BoundDocumentOpener, DecryptEndpoint
from provider.handlers.publishing.encrypt import EncryptEndpoint
from provider.handlers.routes import Route
from provider.orders.lookup import OrderLookup
from provider.policy.gate import Gate
from provider.proofs.queue import ProofQueue
from provider.redis.leases import StreamLeases
from provider.streaming.limits import StreamLimits


@dataclass(frozen=True, slots=True)
class Rooms:
    """What endpoints are made of."""

    networks: Networks
    nonces: NonceStore
    tokens: Tokens
    identifier: Identifier
    catalog: Catalog
    lookup: OrderLookup
    gate: Gate
    files: FileListOpener
    origins: FileOrigins
    file_answers: FactCache[bytes, Items]
    open_document: BoundDocumentOpener
    compute: Compute
    proofs: ProofQueue | None
    leases: StreamLeases | None


def routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """The one table: method, path, endpoint, and what that endpoint needs."""
    served = _service_routes(settings, rooms)
    return [*served, *_documentation_routes(served)]


def _documentation_routes(served: list[Route]) -> list[Route]:
    """The description of all routes, these included, and Swagger UI with its files."""
    table = list(served)

    @cache
    def specification() -> bytes:
        # Imported when somebody asks: most servers are never asked.
        from provider.openapi.document import build_document  # noqa: PLC0415

        return orjson.dumps(build_document(table), option=orjson.OPT_APPEND_NEWLINE)

    own = [
        Route("GET", "/spec", SpecEndpoint, {"specification": specification}),
        Route("GET", "/api/docs", DocsRedirectEndpoint),
        Route("GET", "/api/docs/", DocsEndpoint),
        *(Route("GET", f"/api/docs/{SWAGGER_UI}/{name}", DocsAssetEndpoint, {"name": name}) for name in ASSETS),
    ]
    table += own
    return own


def _service_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    limits = StreamLimits(
        max_streams_per_consumer=settings.limits.max_streams_per_consumer,
        max_bytes_per_second_per_stream=settings.limits.max_bytes_per_second_per_stream,
        max_bytes_per_second_per_consumer=settings.limits.max_bytes_per_second_per_consumer,
        leases=rooms.leases,
    )
    root = {"document": describe(rooms.networks), "page": page_of(rooms.networks)}
    command = {
        "status": describe_node(
            Identity.of(rooms.networks),
            serves_ipfs=bool(settings.upstream.ipfs_gateways),
            serves_arweave=bool(settings.upstream.arweave_gateways),
        ),
        "nonces": rooms.nonces,
        "started_at": time.monotonic(),
    }
    return [
        Route("GET", "/", RootEndpoint, root),
        Route("HEAD", "/", RootEndpoint, root),
        Route("GET", "/api/services/nonce", NonceEndpoint, {"nonces": rooms.nonces}),
        *_publishing_routes(settings, rooms),
        *_data_routes(settings, rooms, limits),
        *_fileinfo_routes(settings, rooms),
        *_token_routes(rooms),
        Route("POST", "/directCommand", DirectCommandEndpoint, command),
        *_compute_routes(settings, rooms, limits),
    ]


def _publishing_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    decrypt = {
        "networks": rooms.networks,
        "identifier": rooms.identifier,
        "lookup": rooms.lookup,
        "authorized_decrypters": settings.security.authorized_decrypters,
        "open_document": rooms.open_document,
        "catalog": rooms.catalog,
    }
    return [
        Route("POST", "/api/services/encrypt", EncryptEndpoint, {"networks": rooms.networks, "gate": rooms.gate}),
        Route("POST", "/api/services/validateContainer", ValidateContainerEndpoint),
        Route("POST", "/api/services/decrypt", DecryptEndpoint, decrypt),
    ]


def _data_routes(settings: Settings, rooms: Rooms, limits: StreamLimits) -> list[Route]:
    assets = {
        "catalog": rooms.catalog,
        "lookup": rooms.lookup,
        "gate": rooms.gate,
        "files": rooms.files,
        "origins": rooms.origins,
    }
    download = {
        **assets,
        "identifier": rooms.identifier,
        "environments": rooms.compute.environments,
        "limits": limits,
        "proofs": rooms.proofs,
        "idle_timeout_seconds": settings.upstream.idle_timeout_seconds,
        "max_resumes": settings.upstream.max_resumes,
    }
    return [
        Route("GET", "/api/services/initialize", InitializeEndpoint, {**assets, "nonces": rooms.nonces}),
        Route("GET", "/api/services/download", DownloadEndpoint, download),
    ]


def _fileinfo_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """ocean.js 9 writes fileInfo; every other client takes the lower-case path from `GET /`."""
    needs = {
        "catalog": rooms.catalog,
        "files": rooms.files,
        "origins": rooms.origins,
        "answers": rooms.file_answers,
        "max_checksum_bytes": settings.upstream.max_checksum_bytes,
    }
    paths = ("/api/services/fileinfo", "/api/services/fileInfo")
    return [Route("POST", path, FileInfoEndpoint, needs) for path in paths]


def _token_routes(rooms: Rooms) -> list[Route]:
    """In the words of Provider 2.1 and in those of ocean-node."""
    needs = {
        "identifier": rooms.identifier,
        "tokens": rooms.tokens,
        "node": Identity.of(rooms.networks).node_id,
    }
    return [
        Route("GET", "/api/services/createAuthToken", CreateAuthTokenEndpoint, needs),
        Route("DELETE", "/api/services/deleteAuthToken", DeleteAuthTokenEndpoint, needs),
        Route("POST", "/api/services/auth/token", GenerateAuthTokenEndpoint, needs),
        Route("POST", "/api/services/auth/token/invalidate", InvalidateAuthTokenEndpoint, needs),
    ]


def _compute_routes(settings: Settings, rooms: Rooms, limits: StreamLimits) -> list[Route]:
    """Without an operator service only quotes are there, and everything else is 404 before it is looked at."""
    compute = rooms.compute
    quotes = [Route("POST", "/api/services/initializeCompute", InitializeComputeEndpoint, {"quoting": compute.quoting})]
    if compute.jobs is None:
        return quotes
    asks = {"operator": compute.jobs.operator}
    signs = {"identifier": rooms.identifier, "gate": rooms.gate}
    path = "/api/services/compute"
    return [
        *quotes,
        Route("POST", path, ComputeStartEndpoint, {**signs, "starting": compute.jobs.starting}),
        Route("GET", path, ComputeStatusEndpoint, asks),
        Route("PUT", path, ComputeStopEndpoint, {**signs, **asks}),
        Route("DELETE", path, ComputeDeleteEndpoint, {**signs, **asks}),
        Route(
            "GET",
            "/api/services/computeResult",
            ComputeResultEndpoint,
            {
                "identifier": rooms.identifier,
                **asks,
                "origin": compute.jobs.origin,
                "limits": limits,
                "idle_timeout_seconds": settings.upstream.idle_timeout_seconds,
                "max_resumes": settings.upstream.max_resumes,
            },
        ),
        Route(
            "GET",
            "/api/services/computeEnvironments",
            ComputeEnvironmentsEndpoint,
            {"environments": compute.environments},
        ),
    ]
