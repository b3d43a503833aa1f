"""The lock of named sources: a file is opened only for an asset whose owner the operator listed.

Anybody can encrypt a file object with this server's key. So without the lock, a stranger could publish an asset that
names a source, and buy its files from himself.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from provider.errors import SourceRefused
from provider.files.file_object import Seller, SourceFile
from provider.files.s3_origin import S3Origin
from provider.files.sources.config import SourceConfig
from provider.files.sources.credentials import credentials_of
from provider.files.sources.stores import FolderStore, HttpStore, S3Store, Store
from provider.outgoing.sessions import Outgoing
from provider.upstream.config import UpstreamConfig
from provider.upstream.disk import Disk
from provider.upstream.folder import Folder
from provider.upstream.http_source import HttpOrigin
from provider.upstream.resume import Rest
from provider.upstream.source import Source
from provider.upstream.wish import Wish

OwnerOf = Callable[[Seller], Awaitable[str | None]]
"""Owner of a data NFT, checksummed; None if the NFT is not one of the chain's factory. Raises ChainError."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One source: where its files lie, and whose assets may sell them."""

    store: Store
    publishers: frozenset[str]


class Sources:
    """Opens files of type `source`. There is no way to one of their stores but `open`."""

    def __init__(self, shelves: Mapping[str, Shelf], *, owner_of: OwnerOf) -> None:
        self._shelves = dict(shelves)
        self._owner_of = owner_of

    async def open(self, file: SourceFile, wish: Wish, *, rest: Rest | None = None) -> Source:
        """Open a file of the asset that sells it.

        `rest` replaces the range after an earlier answer broke off.

        Raises:
            SourceRefused: this asset may not sell it. It does not tell whether there is such a source or file.
            ChainError: the chain does not name the owner.
            UpstreamError: the origin failed.
        """
        shelf = await self._unlocked(file)
        return await shelf.store.open(file.path.split("/"), wish, rest)

    async def address_of(self, file: SourceFile) -> str | None:
        """Address of the source, for the asset that sells the file. None for a folder of this host.

        Raises SourceRefused and ChainError as `open`.
        """
        shelf = await self._unlocked(file)
        return shelf.store.address

    async def close(self) -> None:
        """Give up connections and threads."""
        for shelf in self._shelves.values():
            await shelf.store.close()

    async def _unlocked(self, file: SourceFile) -> Shelf:
        if file.seller is None:
            raise SourceRefused(detail="a file of a source, without an asset")
        # Asked for unknown sources too: the time that the answer takes tells nothing.
        owner = await self._owner_of(file.seller)
        shelf = self._shelves.get(file.source)
        if shelf is None:
            raise SourceRefused(detail="no source of this name")
        if owner is None or owner not in shelf.publishers:
            raise SourceRefused(detail=f"source {file.source}: the owner of the data NFT is not one of its publishers")
        return shelf


def build_sources(
    configs: Iterable[SourceConfig],
    upstream: UpstreamConfig,
    *,
    owner_of: OwnerOf,
    disk: Disk,
    own: HttpOrigin,
    guarded: HttpOrigin,
    outgoing: Outgoing,
) -> Sources:
    """Build the sources of the settings. Nothing is opened yet.

    Args:
        own: connects to the hosts that the operator named.
        guarded: follows their redirects.
        outgoing: reaches token endpoints.
    """

    def store(config: SourceConfig) -> Store:
        if config.path is not None:
            folder = Folder(
                config.path,
                name=config.name,
                disk=disk,
                open_timeout_seconds=upstream.first_byte_timeout_seconds,
                idle_timeout_seconds=upstream.idle_timeout_seconds,
            )
            return FolderStore(folder)
        if config.bucket is not None:
            return S3Store(config, origin=S3Origin(own=own, guarded=guarded))
        return HttpStore(config, credentials=credentials_of(config, outgoing=outgoing), own=own, guarded=guarded)

    return Sources({config.name: Shelf(store(config), config.publishers) for config in configs}, owner_of=owner_of)
