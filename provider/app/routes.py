"""The table of endpoints: method, path, handler, and the parts that the handler needs."""

import time
from dataclasses import dataclass
from functools import cache

import orjson

from provider.app.compute import Compute
from provider.app.foundation import Foundation
from provider.auth.identify import Identifier
from provider.auth.nonce_store import NonceStore
from provider.auth.tokens import Tokens
from provider.cache import FactCache
from provider.config import Settings
from provider.files.origins import FileOpener
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
from provider.handlers.compute.not_offered import NotOfferedEndpoint
from provider.handlers.compute.quotes import ComputeEnvironmentsEndpoint, InitializeComputeEndpoint
from provider.handlers.compute.result import ComputeResultDeps, ComputeResultEndpoint
from provider.handlers.compute.validate_container import ValidateContainerEndpoint
from provider.handlers.downloads.download import DownloadDeps, DownloadEndpoint
from provider.handlers.downloads.fileinfo import FileInfoDeps, FileInfoEndpoint, Items
from provider.handlers.downloads.initialize import InitializeDeps, InitializeEndpoint
from provider.handlers.downloads.quota_gate import QuotaGate
from provider.handlers.identity.nonce import NonceEndpoint, ToldNonces
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
from provider.handlers.routes import COMPUTE_ENDPOINTS, Route
from provider.links.links import Links
from provider.links.reads import LinkReads
from provider.policy.address_rule import AddressRule
from provider.proofs.queue import ProofQueue
from provider.redis.leases import StreamLeases
from provider.streaming.limits import StreamLimits
from provider.streaming.relay import StreamEngine


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts from which endpoints are made."""

    base: Foundation
    nonces: NonceStore
    tokens: Tokens
    identifier: Identifier
    decrypters: AddressRule
    opener: FileOpener
    engine: StreamEngine
    file_answers: FactCache[bytes, Items]
    open_document: BoundDocumentOpener
    compute: Compute
    links: Links
    known_files: KnownFiles
    reads: LinkReads | None
    proofs: ProofQueue | None
    leases: StreamLeases | None
    quotas: QuotaGate | None


def routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """Return the table: method, path, endpoint, and what the endpoint needs."""
    served = _service_routes(settings, rooms)
    return [*served, *_documentation_routes(served, settings.compute.public_url)]


def _documentation_routes(served: list[Route], public_url: str | None) -> list[Route]:
    """The description of all routes (these included), and Swagger UI with its files."""
    table = list(served)

    @cache
    def specification() -> bytes:
        # Imported at the first request for it, because most servers get none.
        from provider.openapi.document import build_document  # noqa: PLC0415

        return orjson.dumps(build_document(table, public_url=public_url), option=orjson.OPT_APPEND_NEWLINE)

    own = [
        Route("GET", "/spec", SpecEndpoint, SpecDeps(specification)),
        Route("GET", "/api/docs", DocsRedirectEndpoint, None),
        Route("GET", "/api/docs/", DocsEndpoint, None),
        *(Route("GET", f"/api/docs/{SWAGGER_UI}/{name}", DocsAssetEndpoint, name) for name in ASSETS),
    ]
    table += own
    return own


def _service_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    purchases = rooms.base.purchases
    limits = StreamLimits(settings.limits, leases=rooms.leases)
    beside_node = settings.identity.beside_ocean_node
    described = describe(
        rooms.base.networks,
        has_policy_server=purchases.gate.has_sessions,
        has_compute=beside_node or rooms.compute.jobs is not None,
    )
    nonces = ToldNonces(rooms.nonces, _unix_milliseconds if beside_node else None)
    root = RootDeps(described, page_of(rooms.base.networks))
    command = DirectCommandDeps(
        status=describe_node(
            Identity.of(rooms.base.networks),
            serves_ipfs=bool(settings.upstream.ipfs_gateways),
            serves_arweave=bool(settings.upstream.arweave_gateways),
        ),
        nonces=nonces,
        started_at=time.monotonic(),
    )
    return [
        Route("GET", "/", RootEndpoint, root),
        Route("HEAD", "/", RootEndpoint, root),
        Route("GET", "/api/services/nonce", NonceEndpoint, nonces),
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


def _unix_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _publishing_routes(rooms: Rooms) -> list[Route]:
    purchases = rooms.base.purchases
    decrypt = DecryptDeps(
        networks=rooms.base.networks,
        identifier=rooms.identifier,
        lookup=purchases.lookup,
        decrypters=rooms.decrypters,
        open_document=rooms.open_document,
        remote=rooms.base.remote,
        catalog=purchases.catalog,
    )
    return [
        Route("POST", "/api/services/encrypt", EncryptEndpoint, EncryptDeps(rooms.base.networks, purchases.gate)),
        Route("POST", "/api/services/validateContainer", ValidateContainerEndpoint, None),
        Route("POST", "/api/services/decrypt", DecryptEndpoint, decrypt),
    ]


def _asset_routes(rooms: Rooms) -> list[Route]:
    """The routes of a metadata store, except its search."""
    purchases = rooms.base.purchases
    ddo = DdoDeps(purchases.catalog, purchases.lookup, rooms.decrypters)
    validate = ValidateDeps(rooms.identifier, rooms.base.networks, rooms.base.publishers)
    return [
        Route("GET", DDO_PREFIX + "{did}", DdoEndpoint, ddo),
        Route("GET", METADATA_PREFIX + "{did}", DdoEndpoint, ddo),
        Route("POST", DDO_PREFIX + "validate", ValidateEndpoint, validate),
    ]


def _policy_routes(rooms: Rooms) -> list[Route]:
    """No routes without a policy server."""
    purchases = rooms.base.purchases
    if not purchases.gate.has_sessions:
        return []
    deps = PolicySessionDeps(rooms.identifier, purchases.catalog, purchases.gate)
    return [Route("POST", "/api/services/initializePSVerification", PolicySessionEndpoint, deps)]


def _data_routes(rooms: Rooms, limits: StreamLimits) -> list[Route]:
    purchases = rooms.base.purchases
    initialize = InitializeDeps(
        catalog=purchases.catalog,
        lookup=purchases.lookup,
        gate=purchases.gate,
        files=purchases.files,
        origins=rooms.base.origins.files,
        nonces=rooms.nonces,
    )
    download = DownloadDeps(
        engine=rooms.engine,
        limits=limits,
        identifier=rooms.identifier,
        purchases=purchases,
        origins=rooms.opener,
        quotas=rooms.quotas,
        proofs=rooms.proofs,
    )
    return [
        Route("GET", "/api/services/initialize", InitializeEndpoint, initialize),
        Route("GET", "/api/services/download", DownloadEndpoint, download),
    ]


def _fileinfo_routes(settings: Settings, rooms: Rooms) -> list[Route]:
    """ocean.js 9 uses `fileInfo`; all other clients take the lower-case path from `GET /`."""
    purchases = rooms.base.purchases
    deps = FileInfoDeps(
        catalog=purchases.catalog,
        files=purchases.files,
        origins=rooms.base.origins.files,
        answers=rooms.file_answers,
        max_checksum_bytes=settings.upstream.max_checksum_bytes,
    )
    paths = ("/api/services/fileinfo", "/api/services/fileInfo")
    return [Route("POST", path, FileInfoEndpoint, deps) for path in paths]


def _token_routes(rooms: Rooms) -> list[Route]:
    """The same operations with the names of Provider 2.1 and with those of ocean-node."""
    deps = TokenDeps(rooms.identifier, rooms.tokens, node=Identity.of(rooms.base.networks).node_id)
    return [
        Route("GET", "/api/services/createAuthToken", CreateAuthTokenEndpoint, deps),
        Route("DELETE", "/api/services/deleteAuthToken", DeleteAuthTokenEndpoint, deps),
        Route("POST", "/api/services/auth/token", GenerateAuthTokenEndpoint, deps),
        Route("POST", "/api/services/auth/token/invalidate", InvalidateAuthTokenEndpoint, deps),
    ]


def _link_routes(settings: Settings, rooms: Rooms, limits: StreamLimits) -> list[Route]:
    """No routes if links are turned off."""
    purchases = rooms.base.purchases
    if not settings.links.max_seconds:
        return []
    public_url = settings.compute.public_url
    make = LinksDeps(
        identifier=rooms.identifier,
        tokens=rooms.tokens,
        purchases=purchases,
        known=rooms.known_files,
        links=rooms.links,
        public_url=public_url,
        proves=rooms.reads is not None,
    )
    link = LinkDeps(
        engine=rooms.engine,
        limits=limits,
        purchases=purchases,
        origins=rooms.opener,
        quotas=rooms.quotas,
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
    """Without an operator service only quotes have a route. All other paths give 404 before the request is read."""
    purchases = rooms.base.purchases
    compute = rooms.compute
    quotes = [Route("POST", "/api/services/initializeCompute", InitializeComputeEndpoint, compute.quoting)]
    if compute.jobs is None:
        return quotes
    operator = compute.jobs.operator
    start = ComputeStartDeps(rooms.identifier, purchases.gate, compute.jobs.starting)
    change = ComputeChangeDeps(rooms.identifier, purchases.gate, operator)
    result = ComputeResultDeps(
        engine=rooms.engine,
        limits=limits,
        quotas=rooms.quotas,
        identifier=rooms.identifier,
        results=compute.jobs.results,
    )
    path = "/api/services/compute"
    return [
        *quotes,
        Route("POST", path, ComputeStartEndpoint, start),
        Route("GET", path, ComputeStatusEndpoint, operator),
        Route("PUT", path, ComputeStopEndpoint, change),
        Route("DELETE", path, ComputeDeleteEndpoint, change),
        Route("GET", "/api/services/computeResult", ComputeResultEndpoint, result),
        Route("GET", "/api/services/computeEnvironments", ComputeEnvironmentsEndpoint, purchases.environments),
        *(Route(method, path, NotOfferedEndpoint, None) for method, path in COMPUTE_ENDPOINTS.values()),
    ]
