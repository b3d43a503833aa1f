"""The form in which clients of both kinds of metadata store get a DDO."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from provider.assets.ddo import Asset, parse_ddo
from provider.assets.did import did_for
from provider.assets.index_records import SealedDocument, StoredAsset, asset_of
from provider.assets.published import is_hidden, published_ddo, short_ddo
from provider.errors import AssetMalformed
from tests.support.assets import ASSET
from tests.unit.assets.test_shape import CREDENTIAL, DATATOKEN, DDO, NFT

OWNER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
TX = "0x" + "5c" * 32
CLAIMS = {
    "nft": {"owner": NFT, "state": 3},
    "event": {"txid": "0x"},
    "stats": [1],
    "purgatory": {"state": True},
    "datatokens": [],
    "indexedMetadata": {"nft": {"owner": NFT}},
}


def from_index(document: dict[str, Any], *, state: int = 0, flags: int = 2) -> Asset:
    """As the chain index gives it."""
    stored = StoredAsset(1, NFT, state, TX, SealedDocument(flags, b"", b""))
    return asset_of(stored, orjson.dumps(document))


def from_store(document: dict[str, Any]) -> Asset:
    """As a metadata store gives it."""
    return parse_ddo(document, keep_document=True)


def published(asset: Asset, owner: str | None = OWNER) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(published_ddo(asset, owner))
    return value


def test_the_index_adds_what_clients_of_both_stores_read() -> None:
    ddo = published(from_index(DDO))
    for facts in (ddo, ddo["indexedMetadata"]):
        assert facts["nft"] == {"address": NFT, "state": 0, "owner": OWNER}
        assert facts["event"] == {"tx": TX, "txid": TX, "contract": NFT}
        assert facts["purgatory"] == {"state": False}
    assert ddo["indexedMetadata"]["stats"] == []
    assert ddo["datatokens"] == [{"address": DATATOKEN, "serviceId": "s"}]
    assert {name: ddo[name] for name in DDO} == DDO


def test_the_facts_of_a_credential_are_beside_its_subject() -> None:
    ddo = published(from_index(CREDENTIAL))
    assert ddo["indexedMetadata"]["nft"]["owner"] == OWNER
    assert ddo["credentialSubject"].pop("datatokens") == [{"address": DATATOKEN, "serviceId": "s"}]
    assert ddo["credentialSubject"] == CREDENTIAL["credentialSubject"]


@pytest.mark.parametrize("document", [DDO, CREDENTIAL], ids=["ddo", "credential"])
def test_the_authors_claims_about_such_facts_are_dropped(document: dict[str, Any]) -> None:
    subject = {"credentialSubject": {**document["credentialSubject"], **CLAIMS}} if document is CREDENTIAL else {}
    assert published(from_index({**document, **CLAIMS, **subject})) == published(from_index(document))


def test_what_a_store_says_goes_before_what_is_added() -> None:
    indexed = {"nft": {"state": 0, "owner": NFT, "name": "n"}, "event": {"txid": TX, "block": 7}, "stats": [{"a": 1}]}
    ddo = published(from_store({**DDO, "indexedMetadata": indexed, "datatokens": [{"address": DATATOKEN}]}))
    assert ddo["indexedMetadata"]["nft"] == {"address": NFT, "state": 0, "owner": NFT, "name": "n"}
    assert ddo["indexedMetadata"]["event"] == {"txid": TX, "tx": TX, "block": 7} == ddo["event"]
    assert (ddo["indexedMetadata"]["stats"], ddo["datatokens"]) == ([{"a": 1}], [{"address": DATATOKEN}])


def test_the_form_of_aquarius_becomes_that_of_ocean_node_too() -> None:
    facts = {"nft": {"address": NFT, "state": 0, "owner": NFT}, "event": {"tx": TX}, "purgatory": {"state": True}}
    ddo = published(from_store({**DDO, **facts, "stats": {"orders": 3}}))
    assert ddo["indexedMetadata"]["event"] == {"tx": TX, "txid": TX}
    assert ddo["indexedMetadata"]["purgatory"] == {"state": True}
    assert (ddo["stats"], ddo["indexedMetadata"]["stats"]) == ({"orders": 3}, [])


@pytest.mark.parametrize("facts", [None, 1, [], {"nft": 1, "event": [], "stats": {}, "purgatory": "no"}])
def test_facts_of_another_form_do_no_harm(facts: object) -> None:
    ddo = published(from_store({**DDO, "nft": facts, "event": facts, "indexedMetadata": facts}))
    assert ddo["indexedMetadata"]["nft"]["owner"] == OWNER


@pytest.mark.parametrize(("state", "hidden"), [(0, False), (1, False), (2, True), (3, True), (4, False), (5, False)])
def test_deprecated_and_revoked_assets_have_a_short_form(state: int, hidden: bool) -> None:
    asset = from_index(DDO, state=state)
    assert is_hidden(asset) is hidden
    assert orjson.loads(short_ddo(asset)) == {
        "id": did_for(NFT, 1),
        "version": "deprecated",
        "chainId": 1,
        "nftAddress": NFT,
        "indexedMetadata": {"nft": {"state": state}},
    }


def test_the_short_form_of_a_store_stays_one() -> None:
    assert is_hidden(replace(ASSET, version="deprecated", nft_state=2))


def test_the_index_knows_what_is_encrypted_on_chain() -> None:
    assert [from_index(DDO, flags=flags).sealed for flags in range(4)] == [False, False, True, True]


def test_an_asset_without_its_document_is_not_published() -> None:
    with pytest.raises(AssetMalformed):
        published_ddo(ASSET, OWNER)
