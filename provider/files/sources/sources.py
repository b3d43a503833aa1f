"""Guards named sources: a file is opened only for an asset whose owner and publisher the operator listed.

Anybody can encrypt a file object with this server's key. So without this check, a stranger could publish an asset
that names a source, and buy its files from themselves.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from provider.errors import SourceRefused
from provider.files.file_object import Seller, SourceFile
from provider.files.s3_origin import S3Origin
from provider.files.sources.config import CacheHint, SourceConfig
from provider.files.sources.credentials import credentials_of
from provider.files.sources.stores import FolderStore, HttpStore, S3Store, Store
from provider.outgoing.sessions import Outgoing
from provider.upstream.config import UpstreamConfig
from provider.upstream.disk import Disk
from provider.upstream.folder import Folder
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.resume import Rest
from provider.upstream.source import Source
from provider.upstream.wish import Wish

AnswerableFor = Callable[[Seller], Awaitable[frozenset[str]]]
"""Owner of a data NFT and senders of its document, checksummed; empty if one of them is not known, or the NFT is not
one of the chain's factory. Raises ChainError."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One source: where its files are, and whose assets may sell them."""

    store: Store
    publishers: frozenset[str]
    cache: CacheHint = "auto"


@dataclass(frozen=True, slots=True)
class Cacheable:
    """How the slice cache knows a file of a source.

    Attributes:
        address: of the source, without credentials.
        at_once: keep the file from its first request on.
    """

    address: str
    at_once: bool


class Sources:
    """Opens files of type `source`. There is no way to one of their stores but `open`."""

    def __init__(self, shelves: Mapping[str, Shelf], *, answerable_for: AnswerableFor) -> None:
        self._shelves = dict(shelves)
        self._answerable_for = answerable_for

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

    async def cacheable(self, file: SourceFile) -> Cacheable | None:
        """How the cache knows this file. None if it must not keep it: in a folder of this host, or as the settings say.

        Raises SourceRefused and ChainError as `open`.
        """
        shelf = await self._unlocked(file)
        address = shelf.store.address
        return None if address is None or shelf.cache == "never" else Cacheable(address, shelf.cache == "always")

    async def close(self) -> None:
        """Give up connections and threads."""
        for shelf in self._shelves.values():
            await shelf.store.close()

    async def _unlocked(self, file: SourceFile) -> Shelf:
        if file.seller is None:
            raise SourceRefused(detail="a file of a source, without an asset")
        # Asked for unknown sources too: the time that the answer takes tells nothing.
        answerable = await self._answerable_for(file.seller)
        shelf = self._shelves.get(file.source)
        if shelf is None:
            raise SourceRefused(detail="no source of this name")
        if not answerable or not answerable <= shelf.publishers:
            raise SourceRefused(
                detail=f"source {file.source}: the owner of the data NFT, or the sender of its document, is not one of "
                "its publishers"
            )
        return shelf


def build_sources(
    configs: Iterable[SourceConfig],
    upstream: UpstreamConfig,
    *,
    answerable_for: AnswerableFor,
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

    shelves = {config.name: Shelf(store(config), config.publishers, config.cache) for config in configs}
    return Sources(shelves, answerable_for=answerable_for)
