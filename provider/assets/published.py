"""The form in which clients get a DDO from us (pure).

Aquarius writes an indexer's facts at the top level, ocean-node under `indexedMetadata`. Clients of both ask here, so
the DDO has both forms. Facts that the source of the asset did not name are added: owner, datatokens.
"""

from collections.abc import Mapping

import orjson

from provider.assets.ddo import Asset
from provider.errors import AssetMalformed

# Deprecated and revoked. Aquarius and ocean-node keep no more than the state of such an asset; every other state is
# for the client to judge.
_HIDDEN_STATES = (2, 3)
# Orders and prices, which this server does not count. wire: ocean.js 8 reads `stats[0]` of any value.
_NO_STATS: list[object] = []
_NO_PURGATORY: Mapping[str, object] = {"state": False}


def is_hidden(asset: Asset) -> bool:
    """True if only the short form of the asset is published."""
    return asset.deprecated or asset.nft_state in _HIDDEN_STATES


def short_ddo(asset: Asset) -> bytes:
    """The form of a deprecated or revoked asset: that it exists, and its state."""
    return orjson.dumps(
        {
            "id": asset.did,
            "version": "deprecated",
            "chainId": asset.chain_id,
            "nftAddress": asset.data_nft,
            "indexedMetadata": {"nft": {"state": asset.nft_state}},
        }
    )


def published_ddo(asset: Asset, owner: str | None) -> bytes:
    """The whole DDO. `owner`: of the data NFT, if the source of the asset does not name it.

    Raises AssetMalformed if the asset was kept without its document.
    """
    if asset.document is None:
        raise AssetMalformed(detail="the document was not kept")
    ddo = orjson.loads(asset.document)
    subject = ddo.get("credentialSubject") if asset.is_credential else ddo
    subject.setdefault("datatokens", _datatokens(asset))
    indexed = _mapping(ddo.get("indexedMetadata"))
    known: Mapping[str, object] = {"address": asset.data_nft, "state": asset.nft_state, "owner": owner}
    nft = {**known, **_mapping(ddo.get("nft")), **_mapping(indexed.get("nft"))}
    event = {**_mapping(ddo.get("event")), **_mapping(indexed.get("event"))}
    # Aquarius names the transaction `tx`, ocean-node `txid`. waitForIndexer compares `txid`.
    tx_id = event.get("txid") or event.get("tx")
    if tx_id is not None:
        event |= {"tx": tx_id, "txid": tx_id}
    purgatory = _mapping(indexed.get("purgatory") or ddo.get("purgatory")) or _NO_PURGATORY
    stats = indexed.get("stats")
    ddo["indexedMetadata"] = {
        **indexed,
        "nft": nft,
        "event": event,
        "purgatory": purgatory,
        "stats": stats if isinstance(stats, list) else _NO_STATS,
    }
    if not asset.is_credential:
        ddo |= {"nft": nft, "event": event, "purgatory": purgatory}
    return orjson.dumps(ddo)


def _datatokens(asset: Asset) -> list[dict[str, str]]:
    return [{"address": service.datatoken, "serviceId": service.id} for service in asset.services]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
