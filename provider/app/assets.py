"""Builds the source of DDOs from settings: a metadata store, or the chain's own logs where none is configured."""

from collections.abc import Callable

from provider.app.compute import MakeCache
from provider.app.networks import USER_AGENT
from provider.app.stores import ready
from provider.assets.catalog import AssetSource
from provider.assets.chain_index import ChainIndex, DocumentOpener
from provider.assets.ddo import Asset
from provider.assets.document_marks import DocumentMarks
from provider.assets.index_store import index_path
from provider.assets.metadata_store import MetadataStore
from provider.cache import FactCache
from provider.chain.networks import Networks
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.files.document import open_document
from provider.handlers.publishing.decrypt import BoundDocumentOpener
from provider.observability.metrics import Metrics
from provider.outgoing.sessions import Outgoing


async def open_asset_source(
    settings: Settings,
    metrics: Metrics,
    networks: Networks,
    make_cache: MakeCache,
    outgoing: Outgoing,
    *,
    index_here: bool,
    shared_directory: str | None,
) -> AssetSource:
    """Ready to be asked; `index_here`: this worker polls the chains for all. Raises StartError."""
    metadata, limits = settings.metadata, settings.cache
    cache: FactCache[str, Asset] = make_cache("ddo", max_entries=limits.ddo_entries, ttl_seconds=limits.ddo_seconds)
    if metadata.aquarius_url is not None:
        return MetadataStore(
            metadata.aquarius_url,
            timeout_seconds=metadata.timeout_seconds,
            cache=cache,
            max_bytes=metadata.max_document_bytes,
            user_agent=USER_AGENT,
            keep_documents=settings.access.policy_url is not None,
            outgoing=outgoing,
            marks=DocumentMarks(shared_directory),
        )
    index = ChainIndex(
        networks,
        path=index_path(settings.storage_path),
        open_document=document_opener(settings, metrics),
        cache=cache,
        poll_seconds=metadata.index_poll_seconds,
        batch_blocks=metadata.index_batch_blocks,
        start_block=metadata.index_start_block,
        max_document_bytes=metadata.max_document_bytes,
        keep_documents=settings.access.policy_url is not None,
        metrics=metrics.index,
    )
    await ready(index.start(poll=index_here))
    return index


def document_opener(settings: Settings, metrics: Metrics) -> DocumentOpener:
    """Opens documents up to the configured size, timed for the metrics."""
    max_bytes = settings.metadata.max_document_bytes

    def opener(account: Account, data: bytes, flags: int, expected_hash: bytes) -> bytes:
        with metrics.files.decrypting("document"):
            return open_document(account, data, flags, expected_hash, max_bytes=max_bytes)

    return opener


def bound_document_opener(settings: Settings, metrics: Metrics) -> BoundDocumentOpener:
    """The same for documents that are an answer only when they are of a certain data NFT."""
    max_bytes = settings.metadata.max_document_bytes

    def opener(
        account: Account, data: bytes, flags: int, expected_hash: bytes, is_answer: Callable[[bytes], bool]
    ) -> bytes:
        with metrics.files.decrypting("document"):
            return open_document(account, data, flags, expected_hash, max_bytes=max_bytes, is_answer=is_answer)

    return opener
