"""The composition root: every part is built here from Settings and handed to the endpoints that need it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tornado.web import Application

from provider.admin.readiness import Readiness
from provider.admission.entry import Admission
from provider.admission_setup import build_admission, build_bodies
from provider.assets.catalog import AssetSource, Catalog
from provider.assets.chain_index import ChainIndex, DocumentOpener
from provider.assets.ddo import Asset
from provider.assets.index_store import index_path
from provider.assets.metadata_store import MetadataStore
from provider.auth.identify import Identifier
from provider.auth.nonce_store import NonceStore
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.token import token_key
from provider.auth.tokens import Tokens
from provider.cache import FactCache
from provider.chain.accounts import Account
from provider.chain.contract_accounts import ContractAccounts
from provider.chain.networks import (
    Networks,
)
from provider.compute.environments import Environments
from provider.compute_setup import Foundation, build_compute, build_environments
from provider.endpoints import Rooms, routes
from provider.errors import StoreError
from provider.files.document import open_document
from provider.files.opener import FileListOpener
from provider.files.plaintext_cache import PlaintextCache
from provider.handlers.base import Frame
from provider.handlers.routes import RouteTable
from provider.logs import AccessLog
from provider.metrics import Metrics
from provider.network_setup import USER_AGENT, build_networks
from provider.orders.lookup import OrderLookup
from provider.origin_setup import Origins, build_origins
from provider.policy.access_lists import AccessLists
from provider.policy.gate import Gate
from provider.policy.policy_server import PolicyServer
from provider.policy.rbac import RbacServer
from provider.proof_setup import build_proofs
from provider.readiness_setup import build_readiness
from provider.redis_setup import Shared, build_shared
from provider.settings import Settings
from provider.start_error import StartError
from provider.streaming.relay import pipes_of_process
from provider.tracing import Tracing

log = logging.getLogger("provider.server")


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

    async def close(self) -> None:
        """Close every part, the last built first."""
        self.origins.close()
        self.files.close()
        self.admission.close()
        for close in reversed(self.closers):
            await close()


async def build(settings: Settings, metrics: Metrics, *, index_here: bool) -> Parts:
    """Build the application. `index_here`: this worker polls the chain index for all. Raises StartError."""
    networks = await build_networks(settings, metrics)
    shared = await build_shared(settings)
    nonces: NonceStore = SqliteNonceStore(settings.storage_path) if shared is None else shared.nonces
    close_nonces = nonces.close if shared is None else shared.close
    if shared is None:
        await _ready(nonces.check())
    tokens = Tokens(
        token_key(Account.from_hex(settings.security.universal_key)),
        nonces,
        max_lifetime_seconds=settings.identity.token_max_lifetime_seconds,
    )
    source = await _asset_source(settings, metrics, networks, index_here)
    files = _files(settings, metrics)
    origins = build_origins(settings, networks)
    gate = _gate(settings, metrics, networks)
    proofs = build_proofs(settings, metrics, networks, send_here=index_here)
    chain_closers = [network.rpc.close for network in networks]
    proof_closers = [] if proofs is None else [proofs.close]
    if proofs is not None:
        await _ready(proofs.start())
    make_cache = partial(_cache, metrics)
    operator, environments = build_environments(settings, networks, make_cache)
    catalog, lookup = Catalog(source, networks), _lookup(settings, metrics, shared)
    foundation = Foundation(networks, catalog, lookup, gate, files, origins.http, origins.files)
    compute = build_compute(settings, foundation, operator, environments, make_cache)
    admission = build_admission(settings)
    tracing = Tracing() if settings.observing.tracing else None
    tracing_closers = [] if tracing is None else [tracing.close]
    frame = Frame(
        metrics=metrics,
        max_body_bytes=settings.server.max_body_bytes,
        access_log=AccessLog(settings.log.level, settings.log.format),
        tracing=tracing,
        bodies=build_bodies(settings.admission),
    )
    metrics.watch_requests(lambda: len(frame.in_progress))
    metrics.watch_pipes(pipes_of_process())
    metrics.watch_storage(str(Path(settings.storage_path).parent))
    rooms = Rooms(
        networks=networks,
        nonces=nonces,
        tokens=tokens,
        identifier=_identifier(settings, metrics, networks, nonces=nonces, tokens=tokens, environments=environments),
        catalog=catalog,
        lookup=lookup,
        gate=gate,
        files=files,
        origins=origins.files,
        open_document=_document_opener(settings, metrics),
        proofs=proofs,
        compute=compute,
        leases=None if shared is None else shared.leases,
    )
    application = Application(log_function=lambda _: None)
    return Parts(
        router=RouteTable(application, frame, routes(settings, rooms), admission),
        frame=frame,
        admission=admission,
        networks=networks,
        readiness=build_readiness(settings, networks, nonces, source, proofs, index_here=index_here),
        origins=origins,
        files=files,
        closers=(
            *tracing_closers,
            *chain_closers,
            close_nonces,
            source.close,
            gate.close,
            compute.close,
            *proof_closers,
        ),
    )


def _identifier(
    settings: Settings,
    metrics: Metrics,
    networks: Networks,
    *,
    nonces: NonceStore,
    tokens: Tokens,
    environments: Environments,
) -> Identifier:
    contracts = None
    if settings.identity.contract_accounts:
        limits = settings.cache
        holding_code = _cache(
            metrics, "contract_account", max_entries=limits.state_entries, ttl_seconds=limits.state_seconds
        )
        contracts = ContractAccounts(networks, holding_code=holding_code)
    return Identifier(nonces, tokens, contracts=contracts, is_environment=environments.knows, observe=metrics.nonce)


def _files(settings: Settings, metrics: Metrics) -> FileListOpener:
    plaintexts = PlaintextCache(
        max_entries=settings.cache.files_entries,
        ttl_seconds=settings.cache.files_seconds,
    )
    metrics.watch_cache("files", plaintexts)
    return FileListOpener(
        allow_unbound=settings.security.allow_unbound_files,
        plaintexts=plaintexts,
        timed=partial(metrics.decrypting, "files"),
    )


def _cache(metrics: Metrics, name: str, *, max_entries: int, ttl_seconds: float) -> FactCache[Any, Any]:
    cache: FactCache[Any, Any] = FactCache(name=name, max_entries=max_entries, ttl_seconds=ttl_seconds)
    metrics.watch_cache(name, cache)
    return cache


def _lookup(settings: Settings, metrics: Metrics, shared: Shared | None) -> OrderLookup:
    limits = settings.cache

    def states(name: str) -> FactCache[Any, Any]:
        return cache(name, max_entries=limits.state_entries, ttl_seconds=limits.state_seconds)

    def cache(name: str, *, max_entries: int, ttl_seconds: float) -> FactCache[Any, Any]:
        if shared is None:
            return _cache(metrics, name, max_entries=max_entries, ttl_seconds=ttl_seconds)
        made = shared.cache(name, max_entries=max_entries, ttl_seconds=ttl_seconds)
        metrics.watch_cache(name, made)
        return made

    return OrderLookup(
        states=states("nft_state"),
        datatokens=states("datatoken"),
        factory_nfts=states("factory_nft"),
        receipts=cache("receipt", max_entries=limits.receipt_entries, ttl_seconds=limits.receipt_seconds),
        receipt_wait_seconds=settings.rpc.receipt_wait_seconds,
    )


def _gate(settings: Settings, metrics: Metrics, networks: Networks) -> Gate:
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
        )
    if access.policy_url is not None:
        policy = PolicyServer(
            access.policy_url,
            api_key=access.policy_api_key,
            timeout_seconds=access.timeout_seconds,
            user_agent=USER_AGENT,
        )
    return Gate(AccessLists(networks, cache=cache), rbac=rbac, policy=policy)


async def _asset_source(settings: Settings, metrics: Metrics, networks: Networks, index_here: bool) -> AssetSource:
    metadata, limits = settings.metadata, settings.cache
    cache: FactCache[str, Asset] = _cache(
        metrics, "ddo", max_entries=limits.ddo_entries, ttl_seconds=limits.ddo_seconds
    )
    if metadata.aquarius_url is not None:
        return MetadataStore(
            metadata.aquarius_url,
            timeout_seconds=metadata.timeout_seconds,
            cache=cache,
            max_bytes=metadata.max_document_bytes,
            user_agent=USER_AGENT,
            keep_documents=settings.access.policy_url is not None,
        )
    index = ChainIndex(
        networks,
        path=index_path(settings.storage_path),
        open_document=_document_opener(settings, metrics),
        cache=cache,
        poll_seconds=metadata.index_poll_seconds,
        batch_blocks=metadata.index_batch_blocks,
        start_block=metadata.index_start_block,
        max_document_bytes=metadata.max_document_bytes,
        keep_documents=settings.access.policy_url is not None,
        observe=metrics.index_read,
        observe_level=metrics.index_level,
    )
    if index_here:
        metrics.watch_index(index.behind)
    await _ready(index.start(poll=index_here))
    return index


async def _ready(opening: Awaitable[object]) -> None:
    """A store that cannot be opened ends the start. Raises StartError."""
    try:
        await opening
    except StoreError as error:
        raise StartError(f"STORAGE_PATH: {error.detail or error.public_text}") from error


def _document_opener(settings: Settings, metrics: Metrics) -> DocumentOpener:
    max_bytes = settings.metadata.max_document_bytes

    def opener(account: Account, data: bytes, flags: int, expected_hash: bytes) -> bytes:
        with metrics.decrypting("document"):
            return open_document(account, data, flags, expected_hash, max_bytes=max_bytes)

    return opener
