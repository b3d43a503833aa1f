"""The embedded metadata store: DDOs from the chains' own logs, used if no metadata store is configured.

Returns the `Asset` of a DID, as `metadata_store.py` does. This module follows the chains and answers requests,
`chain_scan.py` reads the logs, and `index_store.py` is the file.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from provider.assets.catalog import AssetSource
from provider.assets.chain_scan import LOOK_SECONDS, ChainScan
from provider.assets.config import MetadataConfig
from provider.assets.ddo import LONG_DOCUMENT_BYTES, Asset
from provider.assets.did import did_for
from provider.assets.index_records import SealedDocument, StoredAsset, asset_of, did_key
from provider.assets.index_store import IndexStore
from provider.assets.shared_chain import SharedChain
from provider.assets.single_flight import SingleFlight
from provider.cache import FactCache
from provider.chain.networks import Network, Networks
from provider.crypto.accounts import Account
from provider.errors import AssetNotFound, DecryptError, FileError, MetadataStoreUnavailable, ProviderError
from provider.observability.metrics.backends import Index
from provider.override import override
from provider.redis.fact_cache import FactStore

DocumentOpener = Callable[[Account, SealedDocument, str], Awaitable[bytes]]
"""Opens a document on chain, with our account and its DID. Raises DecryptError, FileError, UpstreamError."""

# Hosts that share a chain look this many times in an interval for pages of another host.
_LOOKS_PER_POLL = 4
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class ChainIndex(AssetSource):
    """The metadata of all data NFTs created by the factories of `networks`, in the SQLite file at `path`.

    Several processes may share the file. One of them follows the chains (`start(poll=True)`); the others read the
    changes from the file. An unknown DID makes this process read the newest blocks.

    Args:
        networks: the configured chains.
        config: times, sizes and the first block, which replaces that of every network.
        path: of the file.
        open_document: decrypts a document.
        cache: decrypted assets; each stays until a newer event of its NFT is read.
        wait_seconds: longest time that a request with an unknown DID waits.
        facts: shared by hosts through Redis; None: each host asks the nodes for itself.
    """

    def __init__(
        self,
        networks: Networks,
        config: MetadataConfig,
        *,
        path: str | Path,
        open_document: DocumentOpener,
        cache: FactCache[str, Asset],
        wait_seconds: float = 3.0,
        metrics: Index | None = None,
        facts: FactStore | None = None,
    ) -> None:
        self._networks = networks
        self._open_document = open_document
        self._cache = cache
        self._poll_seconds = config.index_poll_seconds
        self._look_seconds = config.index_poll_seconds / (1 if facts is None else _LOOKS_PER_POLL)
        self._wait_seconds = wait_seconds
        self._metrics = metrics or Index(is_on=False)
        self._store = IndexStore(path)
        self._last_change: int | None = None
        self._generation = 0  # of cache keys
        self._followers: list[Callable[[Sequence[tuple[int, str]] | None], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._scans = {network.chain_id: self._scan_of(network, config, facts) for network in networks}
        self._runs = {
            chain_id: SingleFlight(partial(self._scan, scan), pause_seconds=LOOK_SECONDS)
            for chain_id, scan in self._scans.items()
        }

    def _scan_of(self, network: Network, config: MetadataConfig, facts: FactStore | None) -> ChainScan:
        others = None
        if facts is not None:
            others = SharedChain(
                facts,
                chain_id=network.chain_id,
                factory=network.factory,
                max_document_bytes=config.max_document_bytes,
                poll_seconds=config.index_poll_seconds,
            )
        return ChainScan(
            network,
            self._store,
            start_block=network.start_block if config.index_start_block < 0 else config.index_start_block,
            batch_blocks=config.index_batch_blocks,
            max_document_bytes=config.max_document_bytes,
            metrics=self._metrics,
            others=others,
        )

    async def start(self, *, poll: bool) -> None:
        """Open the file and start following. `poll`: this process asks the nodes. Raises StoreError."""
        await self._store.check()
        await self._take_changes()
        if poll:
            for chain_id, scan in self._scans.items():
                self._expose(chain_id, scan)
        self._task = asyncio.create_task(self.run() if poll else self._listen())

    def _expose(self, chain_id: int, scan: ChainScan) -> None:
        self._metrics.last_poll.begin(chain_id)
        self._metrics.blocks_behind.follow(lambda: scan.behind, chain_id)
        self._metrics.left_seconds.follow(lambda: scan.left_seconds, chain_id)

    def hand_over(self) -> None:
        """Leave the following of chains to another process, and read changes from the file from now on.

        A page in progress is finished. An unknown DID still makes this process read the newest blocks.
        """
        for scan in self._scans.values():
            scan.hand_over()
        if self._task is not None:
            self._task.cancel()
            self._task = asyncio.create_task(self._listen())

    async def run(self) -> None:
        """Follow every chain until cancelled. Failures are retried, and logged when they begin and end."""
        without = [network.chain_id for network in self._networks if network.chain_id not in self._scans]
        if without:
            _log.warning("chains without ERC721Factory are not indexed", extra={"fields": {"chains": without}})
        async with asyncio.TaskGroup() as group:
            for chain_id in self._scans:
                group.create_task(self._follow(chain_id))

    @override
    async def fetch(self, did: str) -> Asset:
        """Fetch the asset of a DID.

        Raises:
            AssetNotFound: no data NFT has a document that this Provider can decrypt.
            AssetMalformed: the document is not a DDO.
            ChainUnavailable, ChainError: the DID is unknown, and its chain cannot be read.
            MetadataStoreUnavailable: the DID is unknown, and the newest blocks could not be read in time.
            UpstreamError: the document is stored elsewhere, and cannot be fetched.
            StoreError: the file failed.
        """
        key = did_key(did)
        if key is None:
            raise AssetNotFound(detail="not the form of a DID")
        return await self._cache.get(self._cache_key(key), lambda: self._load(key))

    @override
    def peek(self, did: str) -> Asset | None:
        key = did_key(did)
        return None if key is None else self._cache.peek(self._cache_key(key))

    @override
    def document_opened(self, data_nft: str, chain_id: int) -> None:
        # The index follows the events themselves.
        return

    def behind(self) -> Mapping[int, int | None]:
        """Per chain: blocks between the newest known one and the last one read; None before the first answer."""
        return {chain_id: scan.behind for chain_id, scan in self._scans.items()}

    def left_seconds(self) -> Mapping[int, float | None]:
        """Per chain: seconds until its end at the present rate; None as long as that is not known."""
        return {chain_id: scan.left_seconds for chain_id, scan in self._scans.items()}

    def stalled(self) -> Mapping[int, float]:
        """Per chain: seconds without progress although the chain has more blocks."""
        return {chain_id: scan.stalled_seconds for chain_id, scan in self._scans.items()}

    def follow(self, changed: Callable[[Sequence[tuple[int, str]] | None], None]) -> None:
        """Report from now on to `changed` which data NFTs (chain id, address) had events; None: too many."""
        self._followers.append(changed)

    @override
    async def check(self) -> None:
        await self._store.check()

    @override
    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        for run in self._runs.values():
            await run.close()
        await self._store.close()

    async def _load(self, key: str) -> Asset:
        stored = await self._store.find(key)
        if stored is None:
            stored = await self._find_after_refresh(key)
        return await self._open(stored)

    async def _find_after_refresh(self, key: str) -> StoredAsset:
        """Read the newest blocks of all chains until one has the DID, since a DID does not reveal its chain."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_seconds
        waiting = {asyncio.create_task(run.fresh(self._wait_seconds)) for run in self._runs.values()}
        failure: ProviderError | None = None
        complete = True
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=max(0.0, deadline - loop.time()), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    try:
                        complete = task.result() and complete
                    except ProviderError as error:
                        failure = error
                stored = await self._store.find(key)
                if stored is not None:
                    return stored
                if not done:
                    complete = False
                    break
        finally:
            for task in waiting:
                task.cancel()
        # "Not found" only if every chain answered: the asset may be on the one that did not.
        if failure is not None:
            raise failure
        if not complete:
            raise MetadataStoreUnavailable(detail=f"the index is still behind: {dict(self.behind())} blocks by chain")
        raise AssetNotFound(detail="no document of this DID on any chain")

    async def _open(self, stored: StoredAsset) -> Asset:
        document = stored.document
        if document.data is None:
            raise AssetNotFound(detail=f"the document of {stored.tx_id} is longer than the limit")
        account = self._networks.get(stored.chain_id).account
        try:
            clear = await self._open_document(account, document, did_for(stored.data_nft, stored.chain_id))
        except (DecryptError, FileError) as error:
            raise AssetNotFound(detail=f"the document of {stored.tx_id}: {error}") from None
        if len(clear) > LONG_DOCUMENT_BYTES:
            return await asyncio.to_thread(asset_of, stored, clear)
        return asset_of(stored, clear)

    async def _scan(self, scan: ChainScan, budget_seconds: float | None) -> bool:
        try:
            return await scan.run(budget_seconds=budget_seconds)
        finally:
            await self._take_changes()

    async def _take_changes(self) -> None:
        """Drop decrypted assets that changed, whichever process read the change."""
        self._last_change, changed = await self._store.changes(self._last_change)
        if changed is None:
            # Too many to list. A new generation makes the old entries unreachable, and they leave the cache by age.
            self._generation += 1
            self._tell(None)
            return
        for key in changed:
            self._cache.discard(self._cache_key(key))
        if changed:
            self._tell(await self._store.nfts_behind(changed))

    def _tell(self, changed: Sequence[tuple[int, str]] | None) -> None:
        for follower in self._followers:
            follower(changed)

    def _cache_key(self, key: str) -> str:
        return f"{self._generation}:{key}"

    async def _follow(self, chain_id: int) -> None:
        async def scan() -> None:
            while not await self._runs[chain_id].join(None):
                pass
            self._metrics.last_poll.set(time.time(), chain_id)

        await self._repeat(scan, self._look_seconds, what="metadata index", chain=chain_id)

    async def _listen(self) -> None:
        await self._repeat(self._take_changes, self._poll_seconds, what="metadata index file", chain=None)

    async def _repeat(
        self, work: Callable[[], Awaitable[None]], pause_seconds: float, *, what: str, chain: int | None
    ) -> None:
        failing: str | None = None
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                await work()
            except ProviderError as error:
                problem = error.code
                if failing != problem:
                    _log.warning("%s: %s", what, error, extra={"fields": {"chain": chain, "detail": error.detail}})
            except Exception as error:  # noqa: BLE001 - the top of a background task, which must not end
                problem = type(error).__name__
                if failing != problem:
                    _log.exception("%s failed", what, extra={"fields": {"chain": chain}})
            else:
                if failing is not None:
                    _log.info("%s works again", what, extra={"fields": {"chain": chain}})
                failing, pause = None, _FIRST_RETRY_SECONDS
                await asyncio.sleep(pause_seconds)
                continue
            failing = problem
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
