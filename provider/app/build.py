"""The composition root: builds every part from Settings and gives each endpoint the parts that it needs."""

import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tornado.web import Application

from provider.admin.health import Readiness
from provider.admission.entry import Admission
from provider.app.admission import build_admission, build_bodies
from provider.app.assets import bound_document_opener, ready
from provider.app.compute import build_compute
from provider.app.foundation import Foundation, open_foundation
from provider.app.probing import build_prober
from provider.app.proofs import build_proofs
from provider.app.readiness import build_readiness
from provider.app.redis import Caches, Shared, build_shared
from provider.app.routes import Rooms, routes
from provider.app.slices import build_slices
from provider.assets.catalog import AssetSource
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
from provider.books.probes import Prober
from provider.cache import CacheLimits
from provider.chain.contract_accounts import ContractAccounts
from provider.chain.networks import Networks
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.files.origins import FileOpener
from provider.handlers.base import Frame
from provider.handlers.downloads.quota_gate import QuotaGate
from provider.handlers.links.files import KnownFiles
from provider.handlers.routes import RouteTable
from provider.links.links import REVOCATIONS_SECONDS, Links
from provider.links.reads import LinkReads
from provider.links.token import LinkSeal
from provider.observability.logs import AccessLog
from provider.observability.metrics import Metrics
from provider.observability.tracing import Tracing
from provider.policy.address_rule import AddressRule
from provider.proofs.queue import ProofQueue
from provider.quotas.quotas import Quotas
from provider.quotas.sqlite_store import SqliteQuotaStore, counts_path
from provider.quotas.store import QuotaStore
from provider.streaming.relay import StreamEngine

log = logging.getLogger("provider.server")
# How long answers about whole file lists are kept: long enough for simultaneous requests, short enough for a publisher
# who corrects a list.
_FILE_ANSWERS = CacheLimits(256, 5.0)
# Facts about linked files, so that a HEAD or a renewal needs no request to an origin; and lengths that quotas count.
_LINKED_FILES = CacheLimits(10_000, 60.0)
# Consumers and orders of links in use.
_REVOCATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the application that a worker uses."""

    router: RouteTable
    frame: Frame
    admission: Admission
    networks: Networks
    readiness: Readiness
    held: AsyncExitStack
    leavers: tuple[Callable[[], None], ...]

    def hand_over(self) -> None:
        """Leave the tasks that one process does for all to a successor: reading the chains' logs, sending proofs."""
        for leave in self.leavers:
            leave()

    async def close(self) -> None:
        """Close every part, the last built first."""
        await self.held.aclose()


async def build(
    settings: Settings, metrics: Metrics, *, index_here: bool, shared_directory: str | None = None
) -> Parts:
    """Build the application.

    `index_here`: this worker reads the chains for all. `shared_directory`: where the workers of one server share files.
    Raises StartError.
    """
    async with AsyncExitStack() as held:
        frame = _frame(settings, metrics, held)
        shared = await build_shared(settings, metrics)
        nonces = await _open_nonces(settings, shared, shared_directory)
        held.push_async_callback(nonces.close if shared is None else shared.close)
        quotas = await _open_quotas(settings, metrics, shared)
        if quotas is not None:
            held.push_async_callback(quotas.close)
        base = await open_foundation(
            settings, metrics, held, shared=shared, index_here=index_here, shared_directory=shared_directory
        )
        proofs = build_proofs(settings, metrics, base.networks, base.outgoing, send_here=index_here)
        if proofs is not None:
            await ready(proofs.start())
            held.push_async_callback(proofs.close)
        slices = await build_slices(settings, base.origins, metrics.slices)
        if slices is not None:
            held.push_async_callback(slices.close)
        opener = base.origins.files if slices is None else slices
        rooms = _rooms(settings, metrics, base, shared, nonces=nonces, opener=opener, proofs=proofs, quotas=quotas)
        _hold(rooms, held)
        prober = build_prober(settings, base, frame.books, metrics.books)
        if prober is not None:
            held.push_async_callback(prober.close)
            if index_here:
                prober.start()
        admission = build_admission(settings, None if shared is None else shared.share)
        held.callback(admission.close)
        held.callback(frame.off_loop.close)
        _follow(settings, metrics, rooms)
        return Parts(
            router=RouteTable(Application(log_function=lambda _: None), frame, routes(settings, rooms), admission),
            frame=frame,
            admission=admission,
            networks=base.networks,
            readiness=build_readiness(settings, base.networks, nonces, base.source, proofs, index_here=index_here),
            leavers=_leavers(base.source, proofs, prober),
            held=held.pop_all(),
        )


def _hold(rooms: Rooms, held: AsyncExitStack) -> None:
    if rooms.compute.jobs is not None:
        held.callback(rooms.compute.jobs.results.origin.close)
    if rooms.reads is not None:
        held.push_async_callback(rooms.reads.close)


def _leavers(source: AssetSource, proofs: ProofQueue | None, prober: Prober | None) -> tuple[Callable[[], None], ...]:
    """Return what each part does when another process takes over its task."""
    parts = (source if isinstance(source, ChainIndex) else None, proofs, prober)
    return tuple(part.hand_over for part in parts if part is not None)


def _follow(settings: Settings, metrics: Metrics, rooms: Rooms) -> None:
    """Let metrics and caches follow the parts."""
    source, nonces = rooms.base.source, rooms.nonces
    if isinstance(source, ChainIndex):
        source.follow(rooms.base.purchases.lookup.forget)
    metrics.streams.follow_pipes(rooms.engine.pipes)
    if isinstance(nonces, WriterNonceStore):
        metrics.processes.follow_nonce_writer(nonces.writer_id)
    metrics.processes.follow_storage(str(Path(settings.storage_path).parent))


async def _open_nonces(settings: Settings, shared: Shared | None, shared_directory: str | None) -> NonceStore:
    """Open the nonce store: of all hosts, or of this one. Raises StartError."""
    if shared is not None:
        return shared.nonces
    nonces = SqliteNonceStore(settings.storage_path)
    await ready(nonces.check())
    if shared_directory is None or settings.server.workers == 1:
        return nonces
    return WriterNonceStore(nonces, writer_socket(shared_directory, settings.storage_path))


async def _open_quotas(settings: Settings, metrics: Metrics, shared: Shared | None) -> Quotas | None:
    """Open the quotas; None if there are none, and then nothing is counted. Raises StartError."""
    if not settings.quotas.is_on:
        return None
    store: QuotaStore
    if shared is not None and shared.quotas is not None:
        store = shared.quotas
    else:
        store = SqliteQuotaStore(counts_path(settings.storage_path))
        await ready(store.counts(()))
    return Quotas(settings.quotas.limits, store, metrics.quotas)


def _rooms(
    settings: Settings,
    metrics: Metrics,
    base: Foundation,
    shared: Shared | None,
    *,
    nonces: NonceStore,
    opener: FileOpener,
    proofs: ProofQueue | None,
    quotas: Quotas | None,
) -> Rooms:
    """Make the rooms that endpoints use from the opened parts."""
    tokens = Tokens(
        token_key(Account.from_hex(settings.security.universal_key)),
        nonces,
        max_lifetime_seconds=settings.identity.token_max_lifetime_seconds,
    )
    security, caches, origins = settings.security, base.caches, base.origins
    compute = build_compute(settings, base)
    return Rooms(
        base=base,
        nonces=nonces,
        tokens=tokens,
        identifier=_identifier(settings, metrics, base, nonces, tokens),
        decrypters=AddressRule(security.authorized_decrypters, security.authorized_decrypters_list, base.access_lists),
        opener=opener,
        engine=StreamEngine(settings.upstream.idle_timeout_seconds, settings.upstream.max_resumes, disk=origins.disk),
        file_answers=caches.make("fileinfo", _FILE_ANSWERS),
        open_document=bound_document_opener(settings, metrics),
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
        quotas=None if quotas is None else _quota_gate(quotas, base),
    )


def _quota_gate(quotas: Quotas, base: Foundation) -> QuotaGate:
    return QuotaGate(
        quotas=quotas,
        catalog=base.purchases.catalog,
        environments=base.purchases.environments,
        lengths=base.caches.make("quota_lengths", _LINKED_FILES),
    )


def _links(settings: Settings, caches: Caches, nonces: NonceStore) -> Links:
    return Links(
        LinkSeal(Account.from_hex(settings.security.universal_key)),
        nonces,
        config=settings.links,
        known=caches.make("link_revocations", CacheLimits(_REVOCATIONS, REVOCATIONS_SECONDS)),
    )


def _frame(settings: Settings, metrics: Metrics, held: AsyncExitStack) -> Frame:
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
    # Requests that were cut end while the other parts are closed, and are then recorded in the books.
    held.push_async_callback(frame.books.close)
    if frame.tracing is not None:
        held.push_async_callback(frame.tracing.close)
    return frame


def _books(settings: Settings, metrics: Metrics) -> Books:
    ledger = None
    if settings.books.ledger:
        ledger = Ledger(settings.books.file(settings.storage_path), settings.books, metrics.books)
    books = Books(ledger)
    metrics.books.failing.follow_all(lambda: books.health.failing(time.time()))
    return books


def _identifier(
    settings: Settings, metrics: Metrics, base: Foundation, nonces: NonceStore, tokens: Tokens
) -> Identifier:
    contracts = None
    if settings.identity.contract_accounts:
        holding_code = base.caches.make("contract_account", settings.cache.state)
        contracts = ContractAccounts(base.networks, holding_code=holding_code)
    return Identifier(nonces, tokens, contracts=contracts, metrics=metrics.nonces)
