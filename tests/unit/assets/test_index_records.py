import hashlib
import json
from importlib.resources import files

import pytest
from eth_abi.abi import encode
from eth_utils.abi import event_abi_to_log_topic

from provider.assets.index_records import (
    SealedDocument,
    StoredAsset,
    asset_of,
    did_key,
    event_records,
    nft_records,
    page_calls,
)
from provider.chain.events import METADATA_CREATED, METADATA_STATE, METADATA_UPDATED, NFT_CREATED, Log
from provider.crypto.keccak import to_checksum_address
from provider.errors import AssetMalformed

FACTORY = to_checksum_address("0x" + "fa" * 20)
STRANGER = to_checksum_address("0x" + "5e" * 20)
NFT = to_checksum_address("0x" + "0f" * 20)
TX = "0x" + "ab" * 32
DIGEST = hashlib.sha256(b"document").digest()


def abi_topic(contract: str, event: str) -> str:
    """topic0 from the ABI of the real contracts, by eth_utils."""
    abi = json.loads(files("artifacts").joinpath(f"{contract}.json").read_bytes())["abi"]
    (entry,) = [item for item in abi if item.get("name") == event and item["type"] == "event"]
    return "0x" + event_abi_to_log_topic(entry).hex()


def log(topic: str, data: bytes, *, address: str = NFT, indexed: int = 1) -> Log:
    return Log(address, (topic, *["0x" + "00" * 32] * indexed), data, 7, 3, TX)


def metadata_log(topic: str, document: bytes, *, flags: bytes = b"\x02", state: int = 0) -> Log:
    types = ["uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256"]
    return log(topic, encode(types, [state, "http://x", flags, document, DIGEST, 1, 7]))


def created_log(factory: str) -> Log:
    data = encode(["address", "string", "string", "string", "bool"], [NFT, "name", "symbol", "uri", True])
    return log(NFT_CREATED, data, address=factory, indexed=3)


@pytest.mark.parametrize(
    ("topic", "contract", "event"),
    [
        (NFT_CREATED, "ERC721Factory", "NFTCreated"),
        (METADATA_CREATED, "ERC721Template", "MetadataCreated"),
        (METADATA_UPDATED, "ERC721Template", "MetadataUpdated"),
        (METADATA_STATE, "ERC721Template", "MetadataState"),
    ],
)
def test_topics_are_those_of_the_real_contracts(topic: str, contract: str, event: str) -> None:
    assert topic == abi_topic(contract, event)


def test_queries_name_the_factory_and_then_nobody() -> None:
    nfts, events = (call.params[0] for call in page_calls(FACTORY, 5, 20))
    assert nfts == {"address": FACTORY, "topics": [NFT_CREATED], "fromBlock": "0x5", "toBlock": "0x14"}
    assert events["topics"] == [[METADATA_CREATED, METADATA_UPDATED, METADATA_STATE]]
    assert "address" not in events


def test_nft_of_the_factory_gets_the_hash_of_its_did() -> None:
    (record,) = nft_records([created_log(FACTORY)], chain_id=137, factory=FACTORY)
    expected = hashlib.sha256(f"{NFT}137".encode()).hexdigest()
    assert (record.data_nft, record.did_key, record.block_number) == (NFT, expected, 7)


def test_nft_announced_by_somebody_else_is_ignored() -> None:
    assert nft_records([created_log(STRANGER)], chain_id=137, factory=FACTORY) == ()


@pytest.mark.parametrize("topic", [METADATA_CREATED, METADATA_UPDATED])
def test_document_event_is_recorded_with_state(topic: str) -> None:
    (record,) = event_records([metadata_log(topic, b"sealed", state=5)], max_document_bytes=100)
    assert (record.data_nft, record.state, record.block_number, record.log_index) == (NFT, 5, 7, 3)
    assert record.document == SealedDocument(2, b"sealed", DIGEST)


def test_state_event_has_no_document() -> None:
    data = encode(["uint8", "uint256", "uint256"], [3, 1, 7])
    (record,) = event_records([log(METADATA_STATE, data)], max_document_bytes=100)
    assert (record.state, record.document) == (3, None)


def test_empty_flags_count_as_zero() -> None:
    (record,) = event_records([metadata_log(METADATA_CREATED, b"x", flags=b"")], max_document_bytes=100)
    assert record.document is not None
    assert record.document.flags == 0


@pytest.mark.parametrize(("length", "is_kept"), [(197, True), (198, False)], ids=["limit", "above"])
def test_document_above_the_limit_is_not_kept(length: int, is_kept: bool) -> None:
    (record,) = event_records([metadata_log(METADATA_CREATED, b"x" * length)], max_document_bytes=100)
    assert record.document is not None
    assert (record.document.data is not None) is is_kept


@pytest.mark.parametrize(
    "broken",
    [log(METADATA_CREATED, b"\xff" * 64), log(METADATA_STATE, b""), log("0x" + "99" * 32, b""), log(NFT_CREATED, b"")],
    ids=["bad offsets", "no data", "another event", "too few topics"],
)
def test_undecodable_log_is_skipped(broken: Log) -> None:
    assert event_records([broken], max_document_bytes=100) == ()
    assert nft_records([broken], chain_id=1, factory=NFT) == ()


@pytest.mark.parametrize("prefix", ["did:op:", "did:ope:"])
def test_both_prefixes_share_a_key(prefix: str) -> None:
    assert did_key(prefix + "a1" * 32) == "a1" * 32


@pytest.mark.parametrize("text", ["", "did:op:", "did:op:" + "A1" * 32, "did:op:" + "a1" * 33, "a1" * 32])
def test_other_text_is_no_did(text: str) -> None:
    assert did_key(text) is None


def stored(state: int = 0) -> StoredAsset:
    return StoredAsset(1, NFT, state, TX, SealedDocument(0, b"", DIGEST))


def ddo(**more: object) -> bytes:
    fields = {"id": "did:op:1", "version": "4.1.0", "chainId": 1, "nftAddress": STRANGER, "services": []}
    return json.dumps({**fields, **more}).encode()


def test_nft_facts_come_from_the_chain_only() -> None:
    lie = {"address": STRANGER, "state": 0, "owner": STRANGER}
    asset = asset_of(stored(state=4), ddo(nft=lie, indexedMetadata={"nft": lie}))
    assert (asset.nft_address, asset.nft_state, asset.nft_owner) == (NFT, 4, None)


@pytest.mark.parametrize("peculiar", ["\ud83d", float("nan"), float("inf")], ids=ascii)
def test_document_that_holds_what_only_python_writes_is_read(peculiar: object) -> None:
    asset = asset_of(stored(), ddo(metadata={"type": "dataset", "description": peculiar}))
    assert asset.metadata_type == "dataset"
    assert asset.document is not None


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b"\xff", ddo(nftAddress=1)])
def test_document_that_is_no_ddo_is_malformed(document: bytes) -> None:
    with pytest.raises(AssetMalformed):
        asset_of(stored(), document)


def test_document_does_not_show_in_repr() -> None:
    assert "sealed" not in repr(SealedDocument(2, b"sealed", DIGEST))
