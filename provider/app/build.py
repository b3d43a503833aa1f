"""The composition root: every part is built here from Settings and handed to the endpoints that need it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tornado.web import Application

from provider.admin.health import Readiness
from provider.admission.entry import Admission
from provider.app.admission import build_admission, build_bodies
from provider.app.assets import bound_document_opener, open_asset_source
from provider.app.compute import Foundation, build_compute, build_environments
from provider.app.networks import USER_AGENT, build_networks
from provider.app.origins import Origins, build_origins
from provider.app.proofs import build_proofs
from provider.app.readiness import build_readiness
from provider.app.redis import Shared, build_shared
from provider.app.routes import Rooms, routes
from provider.app.stores import open_nonce_store, ready
from provider.assets.catalog import AssetSource, Catalog
from provider.assets.chain_index import ChainIndex
from provider.auth.identify import Identifier
from provider.auth.nonce_store import NonceStore
from provider.auth.token import token_key
from provider.auth.tokens import Tokens
from provider.cache import FactCache
from provider.chain.contract_accounts import ContractAccounts
from provider.chain.networks import Networks
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.files.opener import FileListOpener
from provider.files.plaintext_cache import PlaintextCache
from provider.handlers.base import Frame
from provider.handlers.routes import RouteTable
from provider.observability.logs import AccessLog
from provider.observability.metrics import Metrics
from provider.observability.tracing import Tracing
from provider.orders.lookup import OrderLookup
from provider.outgoing.sessions import Outgoing
from provider.policy.access_lists import AccessLists
from provider.policy.gate import Gate
from provider.policy.policy_server import PolicyServer
from provider.policy.rbac import RbacServer
from provider.proofs.queue import ProofQueue
from provider.streaming.relay import StreamEngine

log = logging.getLogger("provider.server")
# Answers about whole file lists: long enough for those who ask together, short enough for a publisher who mends one.
_FILE_ANSWERS, _FILE_ANSWER_SECONDS = 256, 5.0


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
    nonces = await open_nonce_store(settings) if shared is None else shared.nonces
    source = await open_asset_source(
        settings,
        metrics,
        networks,
        partial(_cache, metrics),
        outgoing,
        index_here=index_here,
        shared_directory=shared_directory,
    )
    proofs = build_proofs(settings, metrics, networks, outgoing, send_here=index_here)
    if proofs is not None:
        await ready(proofs.start())
    origins = build_origins(settings, networks, outgoing)
    rooms = _rooms(
        settings,
        metrics,
        networks,
        shared=shared,
        nonces=nonces,
        source=source,
        origins=origins,
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
        closers=(
            *(() if frame.tracing is None else (frame.tracing.close,)),
            *(network.rpc.close for network in networks),
            nonces.close if shared is None else shared.close,
            source.close,
            rooms.gate.close,
            rooms.compute.close,
            *(() if proofs is None else (proofs.close,)),
        ),
        leavers=(
            *((source.hand_over,) if isinstance(source, ChainIndex) else ()),
            *(() if proofs is None else (proofs.hand_over,)),
        ),
    )


def _rooms(
    settings: Settings,
    metrics: Metrics,
    networks: Networks,
    *,
    shared: Shared | None,
    nonces: NonceStore,
    source: AssetSource,
    origins: Origins,
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
    gate = _gate(settings, metrics, networks, outgoing)
    make_cache = partial(_cache, metrics)
    operator, environments = build_environments(settings, networks, make_cache, outgoing)
    catalog, lookup = Catalog(source, networks), _lookup(settings, metrics, shared)
    foundation = Foundation(networks, catalog, lookup, gate, files, origins.http, origins.files)
    return Rooms(
        networks=networks,
        nonces=nonces,
        tokens=tokens,
        identifier=_identifier(settings, metrics, networks, nonces=nonces, tokens=tokens),
        catalog=catalog,
        lookup=lookup,
        gate=gate,
        files=files,
        origins=origins.files,
        engine=StreamEngine(settings.upstream.idle_timeout_seconds, settings.upstream.max_resumes),
        file_answers=make_cache("fileinfo", max_entries=_FILE_ANSWERS, ttl_seconds=_FILE_ANSWER_SECONDS),
        open_document=bound_document_opener(settings, metrics),
        proofs=proofs,
        compute=build_compute(settings, foundation, operator, environments, make_cache, outgoing=outgoing),
        leases=None if shared is None else shared.leases,
    )


def _frame(settings: Settings, metrics: Metrics) -> Frame:
    frame = Frame(
        metrics=metrics,
        max_body_bytes=settings.server.max_body_bytes,
        access_log=AccessLog(settings.log.level, settings.log.format),
        tracing=Tracing() if settings.observing.tracing else None,
        bodies=build_bodies(settings.admission),
    )
    metrics.requests.in_progress.follow(lambda: len(frame.in_progress))
    return frame


def _identifier(
    settings: Settings,
    metrics: Metrics,
    networks: Networks,
    *,
    nonces: NonceStore,
    tokens: Tokens,
) -> Identifier:
    contracts = None
    if settings.identity.contract_accounts:
        limits = settings.cache
        holding_code = _cache(
            metrics, "contract_account", max_entries=limits.state_entries, ttl_seconds=limits.state_seconds
        )
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


def _cache(metrics: Metrics, name: str, *, max_entries: int, ttl_seconds: float) -> FactCache[Any, Any]:
    cache: FactCache[Any, Any] = FactCache(name=name, max_entries=max_entries, ttl_seconds=ttl_seconds)
    metrics.caches.follow(name, cache)
    return cache


def _lookup(settings: Settings, metrics: Metrics, shared: Shared | None) -> OrderLookup:
    limits = settings.cache

    def states(name: str) -> FactCache[Any, Any]:
        return cache(name, max_entries=limits.state_entries, ttl_seconds=limits.state_seconds)

    def cache(name: str, *, max_entries: int, ttl_seconds: float) -> FactCache[Any, Any]:
        if shared is None:
            return _cache(metrics, name, max_entries=max_entries, ttl_seconds=ttl_seconds)
        made = shared.cache(name, max_entries=max_entries, ttl_seconds=ttl_seconds)
        metrics.caches.follow(name, made)
        return made

    return OrderLookup(
        states=states("nft_state"),
        datatokens=states("datatoken"),
        factory_nfts=states("factory_nft"),
        owners=states("nft_owner"),
        receipts=cache("receipt", max_entries=limits.receipt_entries, ttl_seconds=limits.receipt_seconds),
        receipt_wait_seconds=settings.rpc.receipt_wait_seconds,
    )


def _gate(settings: Settings, metrics: Metrics, networks: Networks, outgoing: Outgoing) -> Gate:
    access, limits = settings.access, settings.cache
    cache = _cache(metrics, "access_list", max_entries=limits.state_entries, ttl_seconds=limits.state_seconds)
    rbac, policy = None, None
    if access.rbac_url is not None:
        rbac = RbacServer(
            access.rbac_url,
            account=Account.from_hex(settings.security.universal_key),
            is_private=access.is_private,
            timeout_seconds=access.timeout_seconds,
            user_agent=USER_AGENT,
            outgoing=outgoing,
        )
    if access.policy_url is not None:
        policy = PolicyServer(
            access.policy_url,
            api_key=access.policy_api_key,
            timeout_seconds=access.timeout_seconds,
            user_agent=USER_AGENT,
            outgoing=outgoing,
        )
    return Gate(AccessLists(networks, cache=cache), rbac=rbac, policy=policy)
