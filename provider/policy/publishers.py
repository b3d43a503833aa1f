"""Decides whose assets this server serves (`AUTHORIZED_PUBLISHERS`, as in ocean-node).

The publisher is the account that sent the newest document to the data NFT. The owner of the NFT does not count: anybody
can give an NFT, with the document in it, to somebody else, who need not agree.
"""

from provider.assets.ddo import Asset
from provider.chain.networks import Network
from provider.errors import AssetNotFound, PublisherNotAuthorized
from provider.orders.lookup import OrderLookup
from provider.policy.address_rule import AddressRule


class Publishers:
    """The operator's rule for publishers. Without one, nothing here takes time."""

    def __init__(self, rule: AddressRule, lookup: OrderLookup) -> None:
        self._rule = rule
        self._lookup = lookup

    async def check_asset(self, network: Network, asset: Asset) -> None:
        """Check that an authorized publisher sent the document of this asset. Raises AssetNotFound and ChainError."""
        if self._rule.is_open(network.chain_id):
            return
        senders = await self._lookup.document_senders(network, asset.data_nft, asset.metadata_tx_id)
        if not senders:
            raise AssetNotFound(detail="it is not known who published the document")
        for sender in senders:
            if not await self._rule.admits(sender, network.chain_id):
                raise AssetNotFound(detail=f"the publisher {sender} is not authorized")

    async def check_address(self, publisher: str | None, chain_id: int) -> None:
        """Check that somebody may publish on this chain. `publisher`: checksummed and proven, None if nobody signed.

        Raises PublisherNotAuthorized and ChainError.
        """
        if self._rule.is_open(chain_id):
            return
        if publisher is None or not await self._rule.admits(publisher, chain_id):
            raise PublisherNotAuthorized
