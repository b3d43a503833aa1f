"""The SQLite file of the metadata index: stores pages of chain records, and finds the newest document of a DID.

A separate file, since it can be rebuilt from the chain, unlike the nonces. Documents are stored as on chain, encrypted
ones encrypted. Any number of processes may write; each record is one transaction.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from provider.assets import index_sql as sql
from provider.assets.index_records import Page, Scan, StoredAsset
from provider.sqlite import SqliteThread, prove_writable


def index_path(storage_path: str | Path) -> Path:
    """Path of the index: beside the nonce store's file."""
    return Path(f"{storage_path}.index")


class IndexStore:
    """The index file at `path`, created if absent; its directory must exist.

    It is opened at the first use and again after a failure. `busy_timeout_seconds`: how long to wait for another
    process that holds the write lock. Every method except `close` raises StoreError.
    """

    def __init__(self, path: str | Path, *, busy_timeout_seconds: float = 5.0) -> None:
        connect = partial(sql.open_index, Path(path), busy_timeout_seconds=busy_timeout_seconds)
        self._file = SqliteThread(Path(path), connect, name="metadata-index")

    async def begin(self, chain_id: int, *, factory: str, start_block: int) -> Scan:
        """How far the chain was read. Starts over if it was read for another factory or from a later block."""
        return await self._file.ask(lambda c: sql.begin(c, chain_id, factory, start_block))

    async def record(self, page: Page, *, prune_below_block: int) -> bool:
        """Replace the records of the page's blocks. False if its base is not the last recorded block.

        Events of NFTs from other factories are left out. Of records older than `prune_below_block`, only the newest
        document and state of each NFT stay.
        """
        return await self._file.ask(lambda c: sql.record(c, page, prune_below_block))

    async def rewind(self, chain_id: int, to_block: int) -> None:
        """Delete all blocks above `to_block`."""
        await self._file.ask(lambda c: sql.rewind(c, chain_id, to_block))

    async def find(self, did_key: str) -> StoredAsset | None:
        """The newest document and state for a DID's hash; None if there is no document."""
        return await self._file.ask(lambda c: sql.find(c, did_key))

    async def nfts(self, chain_id: int) -> tuple[str, ...]:
        """Addresses of all data NFTs that were read from the chain."""
        return await self._file.ask(lambda c: sql.nfts(c, chain_id))

    async def nfts_behind(self, did_keys: Sequence[str]) -> tuple[tuple[int, str], ...]:
        """Chain id and address of the data NFTs for these DID hashes, as far as they are known."""
        return await self._file.ask(lambda c: sql.nfts_behind(c, did_keys))

    async def changes(self, since: int | None) -> tuple[int, tuple[str, ...] | None]:
        """Number of the last change, and the DID hashes that changed after `since`; None: too many to list."""
        return await self._file.ask(lambda c: sql.changes(c, since))

    async def check(self) -> None:
        """Commit something harmless."""
        await self._file.ask(prove_writable)

    async def close(self) -> None:
        """Finish work in progress and close the file. Further calls raise StoreError."""
        await self._file.close()
