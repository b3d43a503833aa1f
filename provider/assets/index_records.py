"""The contents of the index: makes records of the logs of a range of blocks, and assets of stored documents (pure).

This module checks who emitted an NFTCreated. index_store.py, which has the known NFTs, checks whether a metadata event
comes from an NFT of that factory.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from provider.assets.ddo import Asset, parse_ddo
from provider.assets.did import did_for, is_did
from provider.chain.contracts import logs_call
from provider.chain.events import (
    METADATA_CREATED,
    METADATA_STATE,
    METADATA_UPDATED,
    NFT_CREATED,
    TRANSFER,
    Log,
    metadata_event,
    nft_created,
    state_event,
)
from provider.chain.jsonrpc import RpcCall
from provider.errors import AssetMalformed
from provider.wire.json import read_json

# Bytes that ECIES adds to a document (`provider-api.md` section 6).
_ENVELOPE_BYTES = 97
# Fields that an indexer adds to a DDO.
_STORE_FACTS = ("indexedMetadata", "nft", "event", "stats", "purgatory", "datatokens")


@dataclass(frozen=True, slots=True)
class NftRecord:
    """A data NFT of the factory. `did_key`: see the function."""

    data_nft: str
    did_key: str
    block_number: int


@dataclass(frozen=True, slots=True)
class SealedDocument:
    """A DDO as on chain. `flags`: bit 0 XZ, bit 1 ECIES. `data`: None if it was too long to be stored."""

    flags: int
    data: bytes | None = field(repr=False)
    document_hash: bytes

    @property
    def is_encrypted(self) -> bool:
        """True unless everybody can read the document on chain."""
        return bool(self.flags & 2)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A metadata event of a data NFT: its state from here on and, unless only the state changed, its document."""

    data_nft: str
    block_number: int
    log_index: int
    tx_id: str
    state: int
    document: SealedDocument | None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything in one chain's blocks `from_block` to `to_block` that belongs in the index.

    Attributes:
        block_hash: hash of `to_block`.
        base: number and hash of the last block recorded before.
        is_linked: the node still has `base`.
        transferred: data NFTs that may have a new owner.
    """

    chain_id: int
    from_block: int
    to_block: int
    block_hash: str
    base: tuple[int, str] | None
    is_linked: bool
    nfts: tuple[NftRecord, ...]
    events: tuple[EventRecord, ...]
    transferred: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scan:
    """How far a chain was read. `anchors`: (block number, hash) of page ends of one branch, newest first."""

    last_block: int
    anchors: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """One asset in the index: its newest document and its newest state."""

    chain_id: int
    data_nft: str
    state: int
    tx_id: str
    document: SealedDocument


def did_key(did: str) -> str | None:
    """The hash in a DID, equal for `did:op:` and `did:ope:`; None if the text is not a DID."""
    return did.rpartition(":")[2] if is_did(did) else None


def page_calls(
    factory: str, from_block: int, to_block: int, *, max_reply_bytes: int | None = None
) -> tuple[RpcCall, RpcCall]:
    """The queries for new data NFTs and for metadata events. `max_reply_bytes`: a longer answer is a fault.

    The second one names no addresses: a list of all NFTs would cost more than it saves.
    """
    nfts = logs_call(factory, [NFT_CREATED], from_block, to_block)
    events = logs_call(None, [[METADATA_CREATED, METADATA_UPDATED, METADATA_STATE]], from_block, to_block)
    return replace(nfts, max_reply_bytes=max_reply_bytes), replace(events, max_reply_bytes=max_reply_bytes)


def events_of_call(data_nfts: Collection[str], block: int, *, max_reply_bytes: int | None = None) -> RpcCall:
    """The query for the metadata events of these NFTs in one block."""
    call = logs_call(sorted(data_nfts), [[METADATA_CREATED, METADATA_UPDATED, METADATA_STATE]], block, block)
    return replace(call, max_reply_bytes=max_reply_bytes)


def transfers_call(from_block: int, to_block: int) -> RpcCall:
    """The query for new owners of data NFTs, whose only token has number 1. It matches no ERC-20 token."""
    return logs_call(None, [TRANSFER, None, None, "0x" + "1".zfill(64)], from_block, to_block)


def nft_records(logs: Sequence[Log], *, chain_id: int, factory: str) -> tuple[NftRecord, ...]:
    """The data NFTs that `factory` itself announced."""
    records = []
    for log in logs:
        created = nft_created(log)
        if created is not None and created.emitter == factory:
            key = did_for(created.data_nft, chain_id).rpartition(":")[2]
            records.append(NftRecord(created.data_nft, key, created.block_number))
    return tuple(records)


def event_records(logs: Sequence[Log], *, max_document_bytes: int) -> tuple[EventRecord, ...]:
    """Metadata events of any emitter. A document that would exceed the limit when decrypted is left out."""
    records = []
    for log in logs:
        changed = state_event(log)
        if changed is not None:
            records.append(
                EventRecord(changed.emitter, log.block_number, log.log_index, log.tx_id, changed.state, None)
            )
            continue
        event = metadata_event(log)
        if event is not None:
            kept = event.data if len(event.data) <= max_document_bytes + _ENVELOPE_BYTES else None
            document = SealedDocument(event.flags[0] if event.flags else 0, kept, event.document_hash)
            records.append(
                EventRecord(event.emitter, log.block_number, log.log_index, log.tx_id, event.state, document)
            )
    return tuple(records)


def asset_of(stored: StoredAsset, document: bytes) -> Asset:
    """The asset of a decrypted document, with the facts of its data NFT that a metadata store would add.

    Such facts in the document itself are its author's claims and are ignored. Raises AssetMalformed.
    """
    try:
        ddo = read_json(document)
    except ValueError:
        raise AssetMalformed(detail="the document on chain is not JSON") from None
    if not isinstance(ddo, dict):
        raise AssetMalformed(detail="the document on chain is not an object")
    subject = ddo.get("credentialSubject")
    for claims in (ddo, subject if isinstance(subject, dict) else {}):
        for name in _STORE_FACTS:
            claims.pop(name, None)
    ddo["nft"] = {"address": stored.data_nft, "state": stored.state}
    ddo["event"] = {"tx": stored.tx_id, "txid": stored.tx_id, "contract": stored.data_nft}
    asset = parse_ddo(ddo, keep_document=True)
    return replace(asset, sealed=stored.document.is_encrypted)
