"""The composition root: every part is built here from Settings and handed to the endpoints that need it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tornado.web import Application

from provider.admin.readiness import Readiness
from provider.assets.catalog import AssetSource, Catalog
from provider.assets.chain_index import ChainIndex, DocumentOpener
from provider.assets.ddo import Asset
from provider.assets.index_store import index_path
from provider.assets.metadata_store import MetadataStore
from provider.auth.identify import Identifier
from provider.auth.sqlite_store import SqliteNonceStore
from provider.cache import FactCache
from provider.chain.accounts import Account
from provider.chain.networks import (
    Networks,
)
from provider.endpoints import Rooms, routes
from provider.errors import ChainError, StoreError
from provider.files.document import open_document
from provider.files.opener import FileListOpener
from provider.files.plaintext_cache import PlaintextCache
from provider.handlers.base import Frame
from provider.handlers.routes import RouteTable
from provider.logs import access_log
from provider.metrics import Metrics
from provider.network_setup import USER_AGENT, build_networks
from provider.orders.lookup import OrderLookup
from provider.settings import Settings
from provider.start_error import StartError
from provider.upstream.http_source import HttpOrigin

log = logging.getLogger("provider.server")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the worker needs of the application."""

    router: RouteTable
    frame: Frame
    networks: Networks
    readiness: Readiness
    origin: HttpOrigin
    files: FileListOpener
    closers: tuple[Callable[[], Awaitable[object]], ...]

    async def close(self) -> None:
        """Close every part, the last built first."""
        self.origin.close()
        self.files.close()
        for close in reversed(self.closers):
            await close()


async def build(settings: Settings, metrics: Metrics, *, index_here: bool) -> Parts:
    """Build the application. `index_here`: this worker polls the chain index for all. Raises StartError."""
    networks = await build_networks(settings, metrics)
    nonces = SqliteNonceStore(settings.storage_path)
    await _ready(nonces.check())
    source = await _asset_source(settings, metrics, networks, index_here)
    files = _files(settings, metrics)
    origin = _origin(settings)
    frame = Frame(
        metrics=metrics,
        max_body_bytes=settings.server.max_body_bytes,
        access_log=access_log(settings.log.format),
    )
    rooms = Rooms(
        networks=networks,
        nonces=nonces,
        identifier=Identifier(nonces, observe=metrics.nonce),
        catalog=Catalog(source, networks),
        lookup=_lookup(settings, metrics),
        files=files,
        origin=origin,
        open_document=_document_opener(settings, metrics),
    )
    application = Application(log_function=lambda _: None)
    return Parts(
        router=RouteTable(application, frame, routes(settings, rooms)),
        frame=frame,
        networks=networks,
        readiness=Readiness({"store": nonces.check, "metadata": source.check, "chain": _any_chain(networks)}),
        origin=origin,
        files=files,
        closers=(*(network.rpc.close for network in networks), nonces.close, source.close),
    )


def _files(settings: Settings, metrics: Metrics) -> FileListOpener:
    plaintexts = PlaintextCache(
        max_entries=settings.cache.files_entries,
        ttl_seconds=settings.cache.files_seconds,
        observe=partial(metrics.cache, "files"),
    )
    metrics.size_of("files", plaintexts)
    return FileListOpener(
        allow_unbound=settings.security.allow_unbound_files,
        plaintexts=plaintexts,
        timed=partial(metrics.decrypting, "files"),
    )


def _cache(metrics: Metrics, name: str, *, max_entries: int, ttl_seconds: float) -> FactCache[Any, Any]:
    cache: FactCache[Any, Any] = FactCache(
        name=name, max_entries=max_entries, ttl_seconds=ttl_seconds, observe=metrics.cache
    )
    metrics.size_of(name, cache)
    return cache


def _lookup(settings: Settings, metrics: Metrics) -> OrderLookup:
    limits = settings.cache

    def states(name: str) -> FactCache[Any, Any]:
        return _cache(metrics, name, max_entries=limits.state_entries, ttl_seconds=limits.state_seconds)

    return OrderLookup(
        states=states("nft_state"),
        datatokens=states("datatoken"),
        factory_nfts=states("factory_nft"),
        receipts=_cache(metrics, "receipt", max_entries=limits.receipt_entries, ttl_seconds=limits.receipt_seconds),
        receipt_wait_seconds=settings.rpc.receipt_wait_seconds,
    )


def _origin(settings: Settings) -> HttpOrigin:
    upstream = settings.upstream
    return HttpOrigin(
        allow_private=upstream.allow_non_public_ip,
        connect_timeout_seconds=upstream.connect_timeout_seconds,
        first_byte_timeout_seconds=upstream.first_byte_timeout_seconds,
        idle_timeout_seconds=upstream.idle_timeout_seconds,
        attempts=upstream.attempts,
        max_idle_connections=upstream.max_idle_connections,
        user_agent=USER_AGENT,
    )


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
        observe=lambda chain_id, block: metrics.index_block.labels(str(chain_id)).set(block),
    )
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


def _any_chain(networks: Networks) -> Callable[[], Awaitable[object]]:
    """One chain that answers is enough: the assets of the others get a clear 503 of their own."""

    async def check() -> None:
        failure: ChainError | None = None
        for network in networks:
            try:
                await network.rpc.call("eth_blockNumber")
            except ChainError as error:
                failure = error
            else:
                return
        if failure is not None:
            raise failure

    return check
