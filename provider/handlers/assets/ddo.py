"""`GET /api/aquarius/assets/ddo/{did}` and `…/metadata/{did}`: the DDO of an asset, as a metadata store answers it."""

from dataclasses import dataclass
from urllib.parse import unquote

from provider.assets.catalog import Catalog
from provider.assets.ddo import Asset
from provider.assets.published import is_hidden, published_ddo, short_ddo
from provider.errors import AssetNotFound, DdoNotFound, DocumentSealed
from provider.handlers.base import PIECE_BYTES, Endpoint
from provider.handlers.body import SHORT_BODY_BYTES
from provider.orders.lookup import OrderLookup
from provider.policy.address_rule import AddressRule

DDO_PREFIX = "/api/aquarius/assets/ddo/"
METADATA_PREFIX = "/api/aquarius/assets/metadata/"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class DdoDeps:
    """`decrypters`: who may read documents that are encrypted on chain."""

    catalog: Catalog
    lookup: OrderLookup
    decrypters: AddressRule


class DdoEndpoint(Endpoint[DdoDeps]):
    """Answers from the chain index or the metadata store, with the same JSON on both paths, as ocean-node does."""

    endpoint = "ddo"

    async def handle(self) -> None:
        """Reply with the DDO; with its short form if it is deprecated or revoked."""
        # The path may begin with several slashes.
        _, _, named = self.request.path.partition("/assets/")
        did = unquote(named.partition("/")[2])
        self.enter("asset")
        try:
            asset, network = await self.deps.catalog.find(did)
        except AssetNotFound as error:
            raise DdoNotFound(detail=error.detail) from error
        self.facts["chain_id"] = network.chain_id
        if is_hidden(asset):
            self.reply_body(short_ddo(asset), _JSON)
            return
        if asset.sealed and not self.deps.decrypters.is_open(network.chain_id):
            raise DocumentSealed
        owner = asset.nft_owner
        if owner is None:
            self.enter("chain")
            owner = await self.deps.lookup.nft_owner(network, asset.data_nft)
        ddo = await self._published(asset, owner)
        self.hold(len(ddo))
        pieces = (ddo[start : start + PIECE_BYTES] for start in range(0, len(ddo), PIECE_BYTES))
        await self.reply_pieces(pieces, length_bytes=len(ddo), media_type=_JSON)

    async def _published(self, asset: Asset, owner: str | None) -> bytes:
        if len(asset.document or b"") <= SHORT_BODY_BYTES:
            return published_ddo(asset, owner)
        return await self.off_loop(published_ddo, asset, owner)
