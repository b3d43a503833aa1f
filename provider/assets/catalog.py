"""Finds the asset of a DID, checks its binding, and finds its network."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from provider.assets.ddo import Asset, check_binding
from provider.chain.networks import Network, Networks

PublisherCheck = Callable[[Network, Asset], Awaitable[None]]


class AssetSource(Protocol):
    """A source of DDOs: a metadata store, or the chain's own logs."""

    async def fetch(self, did: str) -> Asset:
        """Fetch an asset. Raises AssetNotFound, AssetMalformed, MetadataStoreUnavailable, ChainUnavailable."""
        ...

    def peek(self, did: str) -> Asset | None:
        """The asset, if it is in memory."""
        ...

    def document_opened(self, data_nft: str, chain_id: int) -> None:
        """Record that a document of this data NFT was just decrypted for someone who may be an indexer."""
        ...

    async def check(self) -> None:
        """Raise ProviderError if the source cannot be read."""
        ...

    async def close(self) -> None:
        """Release connections and files."""
        ...


class Catalog:
    """Assets of the configured chains, each bound to the DID that it was requested by [K18].

    `check_publisher` raises AssetNotFound for an asset that the operator does not want here.
    """

    def __init__(self, source: AssetSource, networks: Networks, check_publisher: PublisherCheck) -> None:
        self._source = source
        self._networks = networks
        self._check_publisher = check_publisher

    async def find(self, did: str) -> tuple[Asset, Network]:
        """Asset and network. Raises what the source raises, AssetMalformed, UnsupportedChain and ChainError."""
        asset = await self._source.fetch(did)
        check_binding(asset, did)
        network = self._networks.get(asset.chain_id)
        await self._check_publisher(network, asset)
        return asset, network

    def known(self, did: str) -> Asset | None:
        """The asset, if it is in memory. Its binding is not checked."""
        return self._source.peek(did)

    def document_opened(self, data_nft: str, chain_id: int) -> None:
        """Tell the source that it may soon have a newer document of this data NFT."""
        self._source.document_opened(data_nft, chain_id)

    def chain_of(self, did: str) -> "AssetChain":
        """The chain of an asset, for code that may need it before the asset."""
        return AssetChain(self, self._source, did)


class AssetChain:
    """The chain of one asset, looked up on demand."""

    __slots__ = ("_catalog", "_did", "_source")

    def __init__(self, catalog: Catalog, source: AssetSource, did: str) -> None:
        self._catalog, self._source, self._did = catalog, source, did

    def known(self) -> int | None:
        """Chain id, if the asset is in memory."""
        asset = self._source.peek(self._did)
        return None if asset is None else asset.chain_id

    async def find(self) -> int:
        """Chain id. Raises what `Catalog.find` raises."""
        _, network = await self._catalog.find(self._did)
        return network.chain_id
