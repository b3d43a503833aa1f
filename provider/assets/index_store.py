"""The SQLite file of the metadata index: pages of chain records in, the newest document of a DID out.

A file of its own, as it can be rebuilt from the chain and the nonces beside it cannot. It holds documents as they
stand on chain, sealed ones sealed. Any number of processes may write; each record is one transaction.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from provider.assets import index_sql as sql
from provider.assets.index_records import Page, Scan, StoredAsset
from provider.sqlite import SqliteThread, prove_writable


def index_path(storage_path: str | Path) -> Path:
    """Where the index stands: beside the nonce store's file."""
    return Path(f"{storage_path}.index")


class IndexStore:
    """The index file at `path`, created when absent; its directory must exist.

    Opened at the first use and again after a failure. `busy_timeout_seconds`: how long another process may hold the
    write lock. Every method but `close` raises StoreError.
    """

    def __init__(self, path: str | Path, *, busy_timeout_seconds: float = 5.0) -> None:
        connect = partial(sql.open_index, Path(path), busy_timeout_seconds=busy_timeout_seconds)
        self._file = SqliteThread(Path(path), connect, name="metadata-index")

    async def begin(self, chain_id: int, *, factory: str, start_block: int) -> Scan:
        """How far the chain was read. It begins anew when it was read for another factory or from a later block."""
        return await self._file.ask(lambda c: sql.begin(c, chain_id, factory, start_block))

    async def record(self, page: Page, *, prune_below_block: int) -> bool:
        """Replace what is known of the page's blocks; False when its base is not the last block recorded (any more).

        Events of NFTs that are not of the factory are left out. Of what is older than `prune_below_block`, only
        the newest document and state of each NFT stay.
        """
        return await self._file.ask(lambda c: sql.record(c, page, prune_below_block))

    async def rewind(self, chain_id: int, to_block: int) -> None:
        """Forget all blocks above `to_block`."""
        await self._file.ask(lambda c: sql.rewind(c, chain_id, to_block))

    async def find(self, did_key: str) -> StoredAsset | None:
        """The newest document and state behind a DID's hash; None when there is no document."""
        return await self._file.ask(lambda c: sql.find(c, did_key))

    async def nfts(self, chain_id: int) -> tuple[str, ...]:
        """Addresses of all data NFTs that were read from the chain."""
        return await self._file.ask(lambda c: sql.nfts(c, chain_id))

    async def nfts_behind(self, did_keys: Sequence[str]) -> tuple[tuple[int, str], ...]:
        """Chain id and address of the data NFTs behind these DID hashes, as far as they are known."""
        return await self._file.ask(lambda c: sql.nfts_behind(c, did_keys))

    async def changes(self, since: int | None) -> tuple[int, tuple[str, ...] | None]:
        """Number of the last change, and the DID hashes that changed after `since`; None: too many to tell."""
        return await self._file.ask(lambda c: sql.changes(c, since))

    async def check(self) -> None:
        """Commit something harmless."""
        await self._file.ask(prove_writable)

    async def close(self) -> None:
        """Finish what is under way and close the file. Further calls raise StoreError."""
        await self._file.close()
