"""Builds the source of DDOs from settings: a metadata store, or the chain's own logs if none is configured."""

import asyncio
from collections.abc import Awaitable, Callable

from provider.app.redis import Caches
from provider.assets.catalog import AssetSource
from provider.assets.chain_index import ChainIndex, DocumentOpener
from provider.assets.ddo import Asset
from provider.assets.document_marks import DocumentMarks
from provider.assets.footprint import asset_bytes
from provider.assets.index_records import SealedDocument
from provider.assets.index_store import index_path
from provider.assets.metadata_store import MetadataStore
from provider.cache import FactCache
from provider.chain.networks import Networks
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.errors import StoreError
from provider.errors.start import StartError
from provider.files.document import is_remote_stub, open_document, plain_ddo
from provider.files.remote_documents import RemoteDocuments
from provider.handlers.publishing.decrypt import BoundDocumentOpener
from provider.observability.metrics import Metrics
from provider.outgoing.sessions import Outgoing
from provider.redis.fact_cache import FactStore


async def open_asset_source(
    settings: Settings,
    metrics: Metrics,
    networks: Networks,
    caches: Caches,
    outgoing: Outgoing,
    *,
    remote: RemoteDocuments,
    index_here: bool,
    shared_directory: str | None,
    facts: FactStore | None,
) -> AssetSource:
    """Open the source of DDOs. Raises StartError.

    `index_here`: this worker reads the chains for all. `facts`: what hosts share; None: there is one host.
    """
    metadata = settings.metadata
    cache: FactCache[str, Asset] = caches.make("ddo", settings.cache.ddo, size_of=asset_bytes)
    if metadata.aquarius_url is not None:
        return MetadataStore(
            metadata.aquarius_url,
            metadata,
            cache=cache,
            outgoing=outgoing,
            marks=DocumentMarks(shared_directory),
        )
    index = ChainIndex(
        networks,
        metadata,
        path=index_path(settings.storage_path),
        open_document=document_opener(settings, metrics, remote),
        cache=cache,
        metrics=metrics.index,
        facts=facts,
    )
    await ready(index.start(poll=index_here))
    return index


def document_opener(settings: Settings, metrics: Metrics, remote: RemoteDocuments) -> DocumentOpener:
    """Return a function that opens documents up to the configured size, remote ones included. Metrics time it."""
    max_bytes = settings.metadata.max_document_bytes

    def opened(account: Account, document: SealedDocument) -> bytes:
        with metrics.files.decrypting("document"):
            data, flags, its_hash = document.data or b"", document.flags, document.document_hash
            return plain_ddo(open_document(account, data, flags, its_hash, max_bytes=max_bytes))

    async def opener(account: Account, document: SealedDocument, did: str) -> bytes:
        # In a thread: decompressing a document of a few megabytes takes tens of milliseconds.
        clear = await asyncio.to_thread(opened, account, document)
        if is_remote_stub(clear):
            clear = await remote.document(account, clear, document.document_hash, did=did)
        return clear

    return opener


def bound_document_opener(settings: Settings, metrics: Metrics) -> BoundDocumentOpener:
    """The same, but the function only accepts a document of a certain data NFT."""
    max_bytes = settings.metadata.max_document_bytes

    def opener(
        account: Account, data: bytes, flags: int, expected_hash: bytes | None, is_answer: Callable[[bytes], bool]
    ) -> bytes:
        with metrics.files.decrypting("document"):
            return open_document(account, data, flags, expected_hash, max_bytes=max_bytes, is_answer=is_answer)

    return opener


async def ready(opening: Awaitable[object]) -> None:
    """Return the source once its store is open. Raises StartError."""
    try:
        await opening
    except StoreError as error:
        raise StartError(f"STORAGE_PATH: {error.detail or error.public_text}") from error
