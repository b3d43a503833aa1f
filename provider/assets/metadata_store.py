"""DDOs from a metadata store over HTTP: Aquarius, or an ocean-node, which serves the same path.

Returns the `Asset` of a DID, cached. `catalog.py` checks that the asset is the requested one. If a document was
decrypted for an indexer, the store may have a newer one soon, so every worker drops its cached copy of that asset.
"""

import asyncio
import time

from provider.assets.catalog import AssetSource
from provider.assets.config import MetadataConfig
from provider.assets.ddo import LONG_DOCUMENT_BYTES, Asset, parse_ddo
from provider.assets.did import did_for, is_did
from provider.assets.document_marks import GROUPS, DocumentMarks, group_of
from provider.cache import FactCache
from provider.errors import AnswerTooLong, AssetMalformed, AssetNotFound, MetadataStoreUnavailable
from provider.outgoing.client import TRY_LATER, ServiceClient, ServiceReply
from provider.outgoing.sessions import Outgoing
from provider.override import override
from provider.wire.json import MAX_VALUES, is_crowded, read_json

_PATH = "/api/aquarius/assets/ddo/"
# An indexer stores a decrypted document within this time. Until then, documents are cached only for a moment.
_STORING_SECONDS = 30.0
_MOMENT_SECONDS = 1.0


class MetadataStore(AssetSource):
    """The store at `base_url` (`http` or `https`, with or without a path).

    Its client is created inside the running event loop, at the first request. Failures are not cached.

    Args:
        config: limits for one whole lookup, and for one document (decoded).
        cache: found assets.
        marks: shared with other workers.
    """

    def __init__(
        self,
        base_url: str,
        config: MetadataConfig,
        *,
        cache: FactCache[str, Asset],
        outgoing: Outgoing | None = None,
        marks: DocumentMarks | None = None,
    ) -> None:
        self._cache = cache
        self._marks = marks or DocumentMarks()
        self._seen = bytearray(map(self._marks.count, range(GROUPS)))
        self._stored_at: dict[int, float] = {}  # by group: when the store should have the new document
        self._service = ServiceClient(
            base_url,
            name="metadata store",
            timeout_seconds=config.timeout_seconds,
            max_bytes=config.max_document_bytes,
            headers={"Accept": "application/json"},
            max_redirects=3,
            unavailable=MetadataStoreUnavailable,
            outgoing=outgoing,
        )

    @override
    async def fetch(self, did: str) -> Asset:
        """Fetch the asset of a DID.

        Raises:
            AssetNotFound: no such document. Also if the text is not a DID; the store is then not asked.
            AssetMalformed: the document is not a DDO, or is too large.
            MetadataStoreUnavailable: no definite answer.
        """
        # Only `did:op(e):` and hex digits ever become part of the path.
        if not is_did(did):
            raise AssetNotFound(detail="not the form of a DID")
        self._drop_opened(group_of(did))
        return await self._cache.get(did, lambda: self._load(did), ttl_seconds=self._ttl_seconds)

    @override
    def peek(self, did: str) -> Asset | None:
        asset = self._cache.peek(did)
        return asset if asset is None or not self._drop_opened(group_of(did)) else None

    @override
    def document_opened(self, data_nft: str, chain_id: int) -> None:
        self._marks.mark(group_of(did_for(data_nft, chain_id)))

    @override
    async def check(self) -> None:
        await self._get("/", with_body=False)

    @override
    async def close(self) -> None:
        await self._service.close()

    def _drop_opened(self, group: int) -> bool:
        """Drop the cached assets of this group if one of its documents was decrypted since the last check."""
        count = self._marks.count(group)
        if count == self._seen[group]:
            return False
        self._seen[group] = count
        self._stored_at[group] = time.monotonic() + _STORING_SECONDS
        for did in self._cache.all_keys():
            if group_of(did) == group:
                self._cache.discard(did)
        return True

    def _ttl_seconds(self, asset: Asset) -> float:
        stored_at = self._stored_at.get(group_of(asset.did), 0.0) if is_did(asset.did) else 0.0
        if time.monotonic() < stored_at:
            return min(_MOMENT_SECONDS, self._cache.ttl_seconds)
        return self._cache.ttl_seconds

    async def _load(self, did: str) -> Asset:
        try:
            reply = await self._get(_PATH + did)
        except AnswerTooLong as error:
            raise AssetMalformed(detail=error.detail) from None
        if reply.status != 200:
            raise AssetNotFound(detail=f"the metadata store answered {reply.status}")
        if len(reply.body) > LONG_DOCUMENT_BYTES:
            return await asyncio.to_thread(_asset_of, reply)
        return _asset_of(reply)

    async def _get(self, path: str, *, with_body: bool = True) -> ServiceReply:
        """Send a GET. Returns a 200 or a definite 4xx."""
        reply = await self._service.call("GET", path, with_body=with_body)
        definite = reply.status == 200 or 400 <= reply.status < 500
        if not definite or reply.status in TRY_LATER:
            raise MetadataStoreUnavailable(detail=f"the metadata store answered {reply.status}")
        return reply


def _asset_of(reply: ServiceReply) -> Asset:
    """The asset in a good answer. Raises AssetMalformed and MetadataStoreUnavailable."""
    if is_crowded(reply.body):
        raise AssetMalformed(detail=f"more than {MAX_VALUES} values are no document")
    try:
        document = read_json(reply.body)
    except ValueError:
        if "json" in reply.content_type:
            raise AssetMalformed(detail="the metadata store's document cannot be read as JSON") from None
        raise MetadataStoreUnavailable(detail="the metadata store's answer is not JSON") from None
    return parse_ddo(document, keep_document=True)
