"""The composition root: every part is built here from Settings and handed to the endpoints that need it."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tornado.web import Application

from provider.admin.health import Readiness
from provider.admission.entry import Admission
from provider.app.admission import build_admission, build_bodies
from provider.app.assets import bound_document_opener, open_asset_source, ready
from provider.app.compute import Foundation, build_compute, build_environments
from provider.app.networks import build_networks
from provider.app.origins import Origins, build_origins
from provider.app.proofs import build_proofs
from provider.app.readiness import build_readiness
from provider.app.redis import Caches, Shared, build_shared
from provider.app.routes import Rooms, routes
from provider.app.slices import build_slices
from provider.assets.catalog import AssetSource, Catalog
from provider.assets.chain_index import ChainIndex
from provider.auth.identify import Identifier
from provider.auth.nonce_store import NonceStore
from provider.auth.nonce_writer import writer_socket
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.token import token_key
from provider.auth.tokens import Tokens
from provider.auth.writer_store import WriterNonceStore
from provider.books.books import Books
from provider.books.ledger import Ledger
from provider.cache import CacheLimits
from provider.chain.contract_accounts import ContractAccounts
from provider.chain.networks import Networks
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.files.file_object import Seller
from provider.files.opener import FileListOpener
from provider.files.origins import FileOpener
from provider.files.plaintext_cache import PlaintextCache
from provider.files.remote_documents import RemoteDocuments
from provider.handlers.base import Frame
from provider.handlers.downloads.purchase import Purchases
from provider.handlers.links.files import KnownFiles
from provider.handlers.routes import RouteTable
from provider.links.links import REVOCATIONS_SECONDS, Links
from provider.links.reads import LinkReads
from provider.links.token import LinkSeal
from provider.observability.logs import AccessLog
from provider.observability.metrics import Metrics
from provider.observability.tracing import Tracing
from provider.orders.lookup import OrderLookup, receipt_bytes
from provider.outgoing.sessions import Outgoing
from provider.policy.access_lists import AccessLists
from provider.policy.decrypters import Decrypters
from provider.policy.gate import Gate
from provider.policy.policy_server import PolicyServer
from provider.policy.rbac import RbacServer
from provider.proofs.queue import ProofQueue
from provider.slices.cached_origins import CachedOrigins
from provider.streaming.relay import StreamEngine

log = logging.getLogger("provider.server")
# Answers about whole file lists: long enough for those who ask together, short enough for a publisher who mends one.
_FILE_ANSWERS = CacheLimits(256, 5.0)
# Claims that the operator's own servers agreed to lately.
_AGREED_ENTRIES = 10_000
# Facts about linked files, so that a HEAD or a renewal asks no origin.
_LINKED_FILES = CacheLimits(10_000, 60.0)
# Consumers and orders of links in use.
_REVOCATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What the worker needs of the application."""

    router: RouteTable
    frame: Frame
    admission: Admission
    networks: Networks
    readiness: Readiness
    origins: Origins
    files: FileListOpener
    closers: tuple[Callable[[], Awaitable[object]], ...]
    leavers: tuple[Callable[[], None], ...] = ()

    def hand_over(self) -> None:
        """Leave to a successor what one process does for all: reading the chains' logs, sending proofs."""
        for leave in self.leavers:
            leave()

    async def close(self) -> None:
        """Close every part, the last built first."""
        self.frame.off_loop.close()
        self.origins.close()
        self.files.close()
        self.admission.close()
        for close in reversed(self.closers):
            await close()


async def build(
    settings: Settings, metrics: Metrics, *, index_here: bool, shared_directory: str | None = None
) -> Parts:
    """Build the application. `index_here`: this worker polls the chain index for all. Raises StartError.

    `shared_directory`: where the workers of one server share files.
    """
    outgoing = Outgoing(settings.proxies)
    networks = await build_networks(settings, metrics, outgoing)
    shared = await build_shared(settings, metrics)
    nonces = await _open_nonce_store(settings, shared_directory) if shared is None else shared.nonces
    caches = Caches(metrics, shared)
    lookup = _lookup(settings, caches)
    origins = _origins(settings, networks, lookup, outgoing)
    remote = RemoteDocuments(
        origins.files,
        max_bytes=settings.metadata.max_document_bytes,
        timeout_seconds=settings.metadata.timeout_seconds,
    )
    source = await open_asset_source(
        settings,
        metrics,
        networks,
        caches,
        outgoing,
        remote=remote,
        index_here=index_here,
        shared_directory=shared_directory,
    )
    proofs = build_proofs(settings, metrics, networks, outgoing, send_here=index_here)
    if proofs is not None:
        await ready(proofs.start())
    slices = await build_slices(settings, origins, metrics.slices)
    rooms = _rooms(
        settings,
        metrics,
        caches,
        networks,
        shared=shared,
        nonces=nonces,
        source=source,
        lookup=lookup,
        origins=origins,
        opener=origins.files if slices is None else slices,
        remote=remote,
        proofs=proofs,
        outgoing=outgoing,
    )
    if isinstance(source, ChainIndex):
        source.follow(rooms.lookup.forget)
    admission = build_admission(settings, None if shared is None else shared.share)
    frame = _frame(settings, metrics)
    metrics.streams.follow_pipes(rooms.engine.pipes)
    metrics.processes.follow_storage(str(Path(settings.storage_path).parent))
    return Parts(
        router=RouteTable(Application(log_function=lambda _: None), frame, routes(settings, rooms), admission),
        frame=frame,
        admission=admission,
        networks=networks,
        readiness=build_readiness(settings, networks, nonces, source, proofs, index_here=index_here),
        origins=origins,
        files=rooms.files,
        closers=_closers(
            networks=networks,
            shared=shared,
            nonces=nonces,
            source=source,
            origins=origins,
            slices=slices,
            rooms=rooms,
            frame=frame,
        ),
        leavers=(
            *((source.hand_over,) if isinstance(source, ChainIndex) else ()),
            *(() if proofs is None else (proofs.hand_over,)),
        ),
    )


def _closers(
    *,
    networks: Networks,
    shared: Shared | None,
    nonces: NonceStore,
    source: AssetSource,
    origins: Origins,
    slices: CachedOrigins | None,
    rooms: Rooms,
    frame: Frame,
) -> tuple[Callable[[], Awaitable[object]], ...]:
    """What closes each part; `Parts.close` runs the last one first."""
    return (
        # Requests that are cut end while the other parts are closed, and are entered in the books.
        frame.books.close,
        *(() if frame.tracing is None else (frame.tracing.close,)),
        *(network.rpc.close for network in networks),
        nonces.close if shared is None else shared.close,
        source.close,
        rooms.gate.close,
        rooms.compute.close,
        origins.sources.close,
        *(() if rooms.proofs is None else (rooms.proofs.close,)),
        *(() if slices is None else (slices.close,)),
        *(() if rooms.reads is None else (rooms.reads.close,)),
    )


async def _open_nonce_store(settings: Settings, shared_directory: str | None) -> NonceStore:
    """That of this host alone. Raises StartError."""
    nonces = SqliteNonceStore(settings.storage_path)
    await ready(nonces.check())
    if shared_directory is None:
        return nonces
    return WriterNonceStore(nonces, writer_socket(shared_directory, settings.storage_path))


def _rooms(
    settings: Settings,
    metrics: Metrics,
    caches: Caches,
    networks: Networks,
    *,
    shared: Shared | None,
    nonces: NonceStore,
    source: AssetSource,
    lookup: OrderLookup,
    origins: Origins,
    opener: FileOpener,
    remote: RemoteDocuments,
    proofs: ProofQueue | None,
    outgoing: Outgoing,
) -> Rooms:
    """What endpoints are made of, from what was opened."""
    tokens = Tokens(
        token_key(Account.from_hex(settings.security.universal_key)),
        nonces,
        max_lifetime_seconds=settings.identity.token_max_lifetime_seconds,
    )
    files = _files(settings, metrics)
    access_lists = AccessLists(networks, cache=caches.make("access_list", settings.cache.state))
    gate = _gate(settings, access_lists, outgoing)
    security = settings.security
    operator, environments = build_environments(settings, networks, caches, outgoing)
    catalog = Catalog(source, networks)
    foundation = Foundation(networks, catalog, lookup, gate, files, origins.http, origins.files)
    compute = build_compute(settings, foundation, operator, environments, caches, outgoing=outgoing)
    return Rooms(
        networks=networks,
        nonces=nonces,
        tokens=tokens,
        identifier=_identifier(settings, metrics, caches, networks, nonces=nonces, tokens=tokens),
        catalog=catalog,
        lookup=lookup,
        gate=gate,
        decrypters=Decrypters(security.authorized_decrypters, security.authorized_decrypters_list, access_lists),
        files=files,
        purchases=Purchases(
            catalog=catalog,
            lookup=lookup,
            gate=gate,
            environments=environments,
            files=files,
            agreed=caches.make("policy", CacheLimits(_AGREED_ENTRIES, settings.links.policy_seconds)),
        ),
        origins=origins.files,
        opener=opener,
        engine=StreamEngine(settings.upstream.idle_timeout_seconds, settings.upstream.max_resumes, disk=origins.disk),
        file_answers=caches.make("fileinfo", _FILE_ANSWERS),
        open_document=bound_document_opener(settings, metrics),
        remote=remote,
        links=_links(settings, caches, nonces),
        known_files=KnownFiles(
            origins.files,
            None if compute.jobs is None else compute.jobs.results,
            caches.make("link_files", _LINKED_FILES),
        ),
        reads=None if proofs is None else LinkReads(proofs),
        proofs=proofs,
        compute=compute,
        leases=None if shared is None else shared.leases,
    )


def _links(settings: Settings, caches: Caches, nonces: NonceStore) -> Links:
    return Links(
        LinkSeal(Account.from_hex(settings.security.universal_key)),
        nonces,
        config=settings.links,
        known=caches.make("link_revocations", CacheLimits(_REVOCATIONS, REVOCATIONS_SECONDS)),
    )


def _origins(settings: Settings, networks: Networks, lookup: OrderLookup, outgoing: Outgoing) -> Origins:
    async def owner_of(seller: Seller) -> str | None:
        return await lookup.genuine_owner(networks.get(seller.chain_id), seller.data_nft)

    return build_origins(settings.upstream, settings.sources, networks=networks, owner_of=owner_of, outgoing=outgoing)


def _frame(settings: Settings, metrics: Metrics) -> Frame:
    frame = Frame(
        metrics=metrics,
        max_body_bytes=settings.server.max_body_bytes,
        access_log=AccessLog(settings.log.level, settings.log.format),
        tracing=Tracing() if settings.observing.tracing == "otlp" else None,
        bodies=build_bodies(settings.admission),
        books=_books(settings, metrics),
        logs_datasets=settings.log.datasets,
    )
    metrics.requests.in_progress.follow(lambda: len(frame.in_progress))
    return frame


def _books(settings: Settings, metrics: Metrics) -> Books:
    ledger = None
    if settings.books.ledger:
        ledger = Ledger(settings.books.file(settings.storage_path), settings.books, metrics.books)
    books = Books(ledger)
    metrics.books.failing.follow_all(lambda: books.health.failing(time.time()))
    return books


def _identifier(
    settings: Settings,
    metrics: Metrics,
    caches: Caches,
    networks: Networks,
    *,
    nonces: NonceStore,
    tokens: Tokens,
) -> Identifier:
    contracts = None
    if settings.identity.contract_accounts:
        holding_code = caches.make("contract_account", settings.cache.state)
        contracts = ContractAccounts(networks, holding_code=holding_code)
    return Identifier(nonces, tokens, contracts=contracts, metrics=metrics.nonces)


def _files(settings: Settings, metrics: Metrics) -> FileListOpener:
    plaintexts = PlaintextCache(
        max_entries=settings.cache.files_entries,
        ttl_seconds=settings.cache.files_seconds,
    )
    metrics.caches.follow("files", plaintexts)
    return FileListOpener(
        allow_unbound=settings.security.allow_unbound_files,
        plaintexts=plaintexts,
        metrics=metrics.files,
    )


def _lookup(settings: Settings, caches: Caches) -> OrderLookup:
    limits = settings.cache
    return OrderLookup(
        states=caches.make("nft_state", limits.state),
        datatokens=caches.make("datatoken", limits.state),
        factory_nfts=caches.make("factory_nft", limits.state),
        owners=caches.make("nft_owner", limits.state),
        receipts=caches.make("receipt", limits.receipt, size_of=receipt_bytes),
        receipt_wait_seconds=settings.rpc.receipt_wait_seconds,
    )


def _gate(settings: Settings, access_lists: AccessLists, outgoing: Outgoing) -> Gate:
    access = settings.access
    rbac, policy = None, None
    if access.rbac_url is not None:
        rbac = RbacServer(
            access.rbac_url, access, account=Account.from_hex(settings.security.universal_key), outgoing=outgoing
        )
    if access.policy_url is not None:
        policy = PolicyServer(access.policy_url, access, outgoing=outgoing)
    return Gate(access_lists, rbac=rbac, policy=policy)
