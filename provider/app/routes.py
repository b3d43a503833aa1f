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
from provider.files.origins import FileOpener, FileOrigins
from provider.files.remote_documents import RemoteDocuments
from provider.handlers.about.direct_command import DirectCommandDeps, DirectCommandEndpoint, describe_node
from provider.handlers.about.docs import (
    ASSETS,
    SWAGGER_UI,
    DocsAssetEndpoint,
    DocsEndpoint,
    DocsRedirectEndpoint,
    SpecDeps,
    SpecEndpoint,
)
from provider.handlers.about.root import Identity, RootDeps, RootEndpoint, describe, page_of
from provider.handlers.assets.ddo import DDO_PREFIX, METADATA_PREFIX, DdoDeps, DdoEndpoint
from provider.handlers.assets.validate import ValidateDeps, ValidateEndpoint
from provider.handlers.compute.jobs import (
    ComputeChangeDeps,
    ComputeDeleteEndpoint,
    ComputeStartDeps,
    ComputeStartEndpoint,
    ComputeStatusEndpoint,
    ComputeStopEndpoint,
)
from provider.handlers.compute.quotes import ComputeEnvironmentsEndpoint, InitializeComputeEndpoint
from provider.handlers.compute.result import ComputeResultDeps, ComputeResultEndpoint
from provider.handlers.compute.validate_container import ValidateContainerEndpoint
from provider.handlers.downloads.download import DownloadDeps, DownloadEndpoint
from provider.handlers.downloads.fileinfo import FileInfoDeps, FileInfoEndpoint, Items
from provider.handlers.downloads.initialize import InitializeDeps, InitializeEndpoint
from provider.handlers.downloads.purchase import Purchases
from provider.handlers.identity.nonce import NonceEndpoint
from provider.handlers.identity.policy_session import PolicySessionDeps, PolicySessionEndpoint
from provider.handlers.identity.tokens import (
    CreateAuthTokenEndpoint,
    DeleteAuthTokenEndpoint,
    GenerateAuthTokenEndpoint,
    InvalidateAuthTokenEndpoint,
    TokenDeps,
)
from provider.handlers.links.files import KnownFiles
from provider.handlers.links.make import LinksDeps, MakeLinksEndpoint, RevokeLinksDeps, RevokeLinksEndpoint
from provider.handlers.links.open import LinkDeps, LinkEndpoint
from provider.handlers.publishing.decrypt import BoundDocumentOpener, DecryptDeps, DecryptEndpoint
from provider.handlers.publishing.encrypt import EncryptDeps, EncryptEndpoint
from provider.handlers.routes import Route
from provider.links.links import Links
from provider.links.reads import LinkReads
from provider.orders.lookup import OrderLookup
from provider.policy.decrypters import Decrypters
from provider.policy.gate import Gate
from provider.proofs.queue import ProofQueue
from provider.redis.leases import StreamLeases
from provider.streaming.limits import StreamLimits
from provider.streaming.relay import StreamEngine


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
    decrypters: Decrypters
    files: FileListOpener
    purchases: Purchases
    origins: FileOrigins
    opener: FileOpener
    engine: StreamEngine
    file_answers: FactCache[bytes, Items]
    open_document: BoundDocumentOpener
    remote: RemoteDocuments
    compute: Compute
    links: Links
    known_files: KnownFiles
    reads: LinkReads | None
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
        Route("GET", "/spec", SpecEndpoint, SpecDeps(specification)),
        Route("GET", "/api/docs", DocsRedirectEndpoint, None),
        Route("GET", "/api/docs/", DocsEndpoint, None),
        *(Route("GET", f"/api/docs/{SWAGGER_UI}/{name}", DocsAssetEndpoint, name) for name in ASSETS),
    ]
    table += own
    return own


def _service_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    limits = StreamLimits(settings.limits, leases=rooms.leases)
    root = RootDeps(describe(rooms.networks, has_policy_server=rooms.gate.has_sessions), page_of(rooms.networks))
    command = DirectCommandDeps(
        status=describe_node(
            Identity.of(rooms.networks),
            serves_ipfs=bool(settings.upstream.ipfs_gateways),
            serves_arweave=bool(settings.upstream.arweave_gateways),
        ),
        nonces=rooms.nonces,
        started_at=time.monotonic(),
    )
    return [
        Route("GET", "/", RootEndpoint, root),
        Route("HEAD", "/", RootEndpoint, root),
        Route("GET", "/api/services/nonce", NonceEndpoint, rooms.nonces),
        *_publishing_routes(rooms),
        *_asset_routes(rooms),
        *_policy_routes(rooms),
        *_data_routes(rooms, limits),
        *_fileinfo_routes(settings, rooms),
        *_token_routes(rooms),
        Route("POST", "/directCommand", DirectCommandEndpoint, command),
        *_compute_routes(rooms, limits),
        *_link_routes(settings, rooms, limits),
    ]


def _publishing_routes(rooms: Rooms) -> list[Route]:
    decrypt = DecryptDeps(
        networks=rooms.networks,
        identifier=rooms.identifier,
        lookup=rooms.lookup,
        decrypters=rooms.decrypters,
        open_document=rooms.open_document,
        remote=rooms.remote,
        catalog=rooms.catalog,
    )
    return [
        Route("POST", "/api/services/encrypt", EncryptEndpoint, EncryptDeps(rooms.networks, rooms.gate)),
        Route("POST", "/api/services/validateContainer", ValidateContainerEndpoint, None),
        Route("POST", "/api/services/decrypt", DecryptEndpoint, decrypt),
    ]


def _asset_routes(rooms: Rooms) -> list[Route]:
    """Those of a metadata store, without its search."""
    ddo = DdoDeps(rooms.catalog, rooms.lookup, rooms.decrypters)
    validate = ValidateDeps(rooms.identifier, rooms.networks)
    return [
        Route("GET", DDO_PREFIX + "{did}", DdoEndpoint, ddo),
        Route("GET", METADATA_PREFIX + "{did}", DdoEndpoint, ddo),
        Route("POST", DDO_PREFIX + "validate", ValidateEndpoint, validate),
    ]


def _policy_routes(rooms: Rooms) -> list[Route]:
    """None without a policy server."""
    if not rooms.gate.has_sessions:
        return []
    deps = PolicySessionDeps(rooms.identifier, rooms.catalog, rooms.gate)
    return [Route("POST", "/api/services/initializePSVerification", PolicySessionEndpoint, deps)]


def _data_routes(rooms: Rooms, limits: StreamLimits) -> list[Route]:
    initialize = InitializeDeps(
        catalog=rooms.catalog,
        lookup=rooms.lookup,
        gate=rooms.gate,
        files=rooms.files,
        origins=rooms.origins,
        nonces=rooms.nonces,
    )
    download = DownloadDeps(
        engine=rooms.engine,
        limits=limits,
        identifier=rooms.identifier,
        purchases=rooms.purchases,
        origins=rooms.opener,
        proofs=rooms.proofs,
    )
    return [
        Route("GET", "/api/services/initialize", InitializeEndpoint, initialize),
        Route("GET", "/api/services/download", DownloadEndpoint, download),
    ]


def _fileinfo_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """ocean.js 9 writes fileInfo; every other client takes the lower-case path from `GET /`."""
    deps = FileInfoDeps(
        catalog=rooms.catalog,
        files=rooms.files,
        origins=rooms.origins,
        answers=rooms.file_answers,
        max_checksum_bytes=settings.upstream.max_checksum_bytes,
    )
    paths = ("/api/services/fileinfo", "/api/services/fileInfo")
    return [Route("POST", path, FileInfoEndpoint, deps) for path in paths]


def _token_routes(rooms: Rooms) -> list[Route]:
    """In the words of Provider 2.1 and in those of ocean-node."""
    deps = TokenDeps(rooms.identifier, rooms.tokens, node=Identity.of(rooms.networks).node_id)
    return [
        Route("GET", "/api/services/createAuthToken", CreateAuthTokenEndpoint, deps),
        Route("DELETE", "/api/services/deleteAuthToken", DeleteAuthTokenEndpoint, deps),
        Route("POST", "/api/services/auth/token", GenerateAuthTokenEndpoint, deps),
        Route("POST", "/api/services/auth/token/invalidate", InvalidateAuthTokenEndpoint, deps),
    ]


def _link_routes(settings: Settings, rooms: Rooms, limits: StreamLimits) -> list[Route]:
    """None if links are turned off."""
    if not settings.links.max_seconds:
        return []
    public_url = settings.compute.public_url
    make = LinksDeps(
        identifier=rooms.identifier,
        tokens=rooms.tokens,
        purchases=rooms.purchases,
        known=rooms.known_files,
        links=rooms.links,
        public_url=public_url,
        proves=rooms.reads is not None,
    )
    link = LinkDeps(
        engine=rooms.engine,
        limits=limits,
        purchases=rooms.purchases,
        origins=rooms.opener,
        links=rooms.links,
        known=rooms.known_files,
        reads=rooms.reads,
        public_url=public_url,
    )
    return [
        Route("POST", "/api/services/links", MakeLinksEndpoint, make),
        Route("DELETE", "/api/services/links", RevokeLinksEndpoint, RevokeLinksDeps(rooms.identifier, rooms.links)),
        *(Route(method, "/d/{token}/{name}", LinkEndpoint, link) for method in ("GET", "HEAD", "POST")),
    ]


def _compute_routes(rooms: Rooms, limits: StreamLimits) -> list[Route]:
    """Without an operator service only quotes are there, and everything else is 404 before it is looked at."""
    compute = rooms.compute
    quotes = [Route("POST", "/api/services/initializeCompute", InitializeComputeEndpoint, compute.quoting)]
    if compute.jobs is None:
        return quotes
    operator = compute.jobs.operator
    start = ComputeStartDeps(rooms.identifier, rooms.gate, compute.jobs.starting)
    change = ComputeChangeDeps(rooms.identifier, rooms.gate, operator)
    result = ComputeResultDeps(
        engine=rooms.engine, limits=limits, identifier=rooms.identifier, results=compute.jobs.results
    )
    path = "/api/services/compute"
    return [
        *quotes,
        Route("POST", path, ComputeStartEndpoint, start),
        Route("GET", path, ComputeStatusEndpoint, operator),
        Route("PUT", path, ComputeStopEndpoint, change),
        Route("DELETE", path, ComputeDeleteEndpoint, change),
        Route("GET", "/api/services/computeResult", ComputeResultEndpoint, result),
        Route("GET", "/api/services/computeEnvironments", ComputeEnvironmentsEndpoint, compute.environments),
    ]
