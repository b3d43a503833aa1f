"""Events of the Ocean contracts: JSON receipts and logs in, frozen values out (pure).

Events and their arguments: `provider-api.md` section 8.1. Any contract can emit any event, so every value says
who emitted it. The caller must check that this is the right contract.

JSON that no node should send raises ChainError. Bytes that do not decode are the emitting contract's own fault:
that event is skipped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from provider.chain.abi import AbiError, Words, address_of_word, bytes_of_hex, count_of_hex, int_of_hex
from provider.chain.logs import Log, first_topic, json_object, parse_log, parse_logs, transaction_hash
from provider.errors import ChainError

__all__ = [
    "METADATA_CREATED",
    "METADATA_STATE",
    "METADATA_UPDATED",
    "NFT_CREATED",
    "ORDER_REUSED",
    "ORDER_STARTED",
    "PROVIDER_FEE",
    "TRANSFER",
    "Log",
    "MetadataEvent",
    "NftCreated",
    "OrderReused",
    "OrderStarted",
    "ProviderFee",
    "Receipt",
    "StateEvent",
    "metadata_event",
    "nft_created",
    "order_reused",
    "order_started",
    "parse_logs",
    "parse_receipt",
    "provider_fee",
    "state_event",
]

ORDER_STARTED = "0xe1c4fa794edfa8f619b8257a077398950357b9c6398528f94480307352f9afcc"
ORDER_REUSED = "0x526e31449ea46e2aecf9b480c8d7dfa191348ef74ffdf75b445a6ab726daa6ff"
PROVIDER_FEE = "0xf8ed11cdaaf10eca2b6c941fb802cb8682afe86cac1eb93f70d0780fa062c544"
METADATA_CREATED = "0x5463569dcc320958360074a9ab27e809e8a6942c394fb151d139b5f7b4ecb1bd"
METADATA_UPDATED = "0xe5c4cf86b1815151e6f453e1e133d4454ae3b0b07145db39f2e0178685deac84"
METADATA_STATE = "0xa8336411cc72db0e5bdc4dff989eeb35879bafaceffb59b54b37645c3395adb9"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"  # of EIP-721 and ERC-20
NFT_CREATED = "0x8125264ec1d174cb383ea0646ea1e6921ca3b0aba20370c8e18389e7c2d6a571"  # of the ERC721Factory

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class OrderStarted:
    """A datatoken was paid for a service. `timestamp` is that of its block, unix seconds."""

    emitter: str
    consumer: str
    payer: str
    amount_wei: int
    service_index: int
    timestamp: int
    tx_id: str


@dataclass(frozen=True, slots=True)
class OrderReused:
    """Provider access was renewed for the order of `order_tx_id`. The contract checks none of this."""

    emitter: str
    order_tx_id: str
    caller: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class ProviderFee:
    """The fee a provider asked and signed. `amount` in base units of `token`, `valid_until` unix seconds (0: none)."""

    emitter: str
    provider: str
    token: str
    amount: int
    provider_data: bytes
    v: int
    r: bytes
    s: bytes
    valid_until: int


@dataclass(frozen=True, slots=True)
class MetadataEvent:
    """The document of a data NFT was published or replaced by `sender`; `flags` as on chain, possibly empty."""

    emitter: str
    sender: str
    kind: Literal["created", "updated"]
    state: int
    decryptor_url: str
    flags: bytes
    data: bytes
    document_hash: bytes
    block_number: int
    log_index: int
    tx_id: str


@dataclass(frozen=True, slots=True)
class StateEvent:
    """The state of a data NFT changed without a new document."""

    emitter: str
    state: int
    block_number: int
    log_index: int
    tx_id: str


@dataclass(frozen=True, slots=True)
class NftCreated:
    """The factory `emitter` deployed a data NFT."""

    emitter: str
    data_nft: str
    block_number: int
    log_index: int
    tx_id: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction, reduced to the events that concern us, in the order of the log."""

    tx_id: str
    succeeded: bool
    block_number: int
    order_started: tuple[OrderStarted, ...] = ()
    order_reused: tuple[OrderReused, ...] = ()
    provider_fees: tuple[ProviderFee, ...] = ()
    metadata: tuple[MetadataEvent, ...] = ()


def parse_receipt(raw: object) -> Receipt | None:
    """Parse the result of eth_getTransactionReceipt. Returns None while the transaction is unknown or not mined.

    Raises ChainError.
    """
    if raw is None:
        return None
    fields = json_object(raw, "receipt")
    if fields.get("blockNumber") is None:
        return None
    raw_logs = fields.get("logs")
    if not isinstance(raw_logs, list):
        raise ChainError(detail="receipt without logs")
    logs = sorted(
        (parse_log(raw_log) for raw_log in raw_logs if first_topic(raw_log) in _RECEIPT_TOPICS),
        key=lambda log: log.log_index,
    )
    try:
        return Receipt(
            tx_id=transaction_hash(fields),
            succeeded=int_of_hex(fields.get("status")) == 1,
            block_number=count_of_hex(fields["blockNumber"]),
            order_started=_all(logs, order_started),
            order_reused=_all(logs, order_reused),
            provider_fees=_all(logs, provider_fee),
            metadata=_all(logs, metadata_event),
        )
    except AbiError as error:
        raise ChainError(detail=f"receipt: {error}") from None


def order_started(log: Log) -> OrderStarted | None:
    """Decode `log` if it is an OrderStarted event, otherwise return None."""
    return _decode(log, ORDER_STARTED, 3, _decode_order_started)


def order_reused(log: Log) -> OrderReused | None:
    """Decode `log` if it is an OrderReused event, otherwise return None."""
    return _decode(log, ORDER_REUSED, 1, _decode_order_reused)


def provider_fee(log: Log) -> ProviderFee | None:
    """Decode `log` if it is a ProviderFee event, otherwise return None."""
    return _decode(log, PROVIDER_FEE, 3, _decode_provider_fee)


def metadata_event(log: Log) -> MetadataEvent | None:
    """Decode `log` if it is a MetadataCreated or MetadataUpdated event, otherwise return None."""
    return _decode(log, METADATA_CREATED, 2, _decode_metadata) or _decode(log, METADATA_UPDATED, 2, _decode_metadata)


def state_event(log: Log) -> StateEvent | None:
    """Decode `log` if it is a MetadataState event, otherwise return None."""
    return _decode(log, METADATA_STATE, 2, _decode_state)


def nft_created(log: Log) -> NftCreated | None:
    """Decode `log` if it is an NFTCreated event of the factory, otherwise return None."""
    return _decode(log, NFT_CREATED, 4, _decode_nft_created)


_RECEIPT_TOPICS = frozenset({ORDER_STARTED, ORDER_REUSED, PROVIDER_FEE, METADATA_CREATED, METADATA_UPDATED})


def _decode(log: Log, topic: str, topic_count: int, decode: Callable[[Log, Words], Event]) -> Event | None:
    if len(log.topics) != topic_count or log.topics[0] != topic:
        return None
    try:
        return decode(log, Words(log.data))
    except AbiError:
        return None


def _all(logs: list[Log], read: Callable[[Log], Event | None]) -> tuple[Event, ...]:
    return tuple(event for event in map(read, logs) if event is not None)


def _decode_order_started(log: Log, words: Words) -> OrderStarted:
    return OrderStarted(
        emitter=log.address,
        consumer=_address_topic(log, 1),
        payer=words.address(0),
        amount_wei=words.uint(1),
        service_index=words.uint(2),
        timestamp=words.uint(3),
        tx_id=log.tx_id,
    )


def _decode_order_reused(log: Log, words: Words) -> OrderReused:
    return OrderReused(
        emitter=log.address,
        order_tx_id="0x" + words.word(0).hex(),
        caller=words.address(1),
        timestamp=words.uint(2),
    )


def _decode_provider_fee(log: Log, words: Words) -> ProviderFee:
    return ProviderFee(
        emitter=log.address,
        provider=_address_topic(log, 1),
        token=_address_topic(log, 2),
        amount=words.uint(0),
        provider_data=words.dynamic(1),
        v=words.uint(2, bits=8),
        r=words.word(3),
        s=words.word(4),
        valid_until=words.uint(5),
    )


def _decode_metadata(log: Log, words: Words) -> MetadataEvent:
    return MetadataEvent(
        emitter=log.address,
        sender=_address_topic(log, 1),
        kind="created" if log.topics[0] == METADATA_CREATED else "updated",
        state=words.uint(0, bits=8),
        decryptor_url=words.dynamic(1).decode("utf-8", "replace"),
        flags=words.dynamic(2),
        data=words.dynamic(3),
        document_hash=words.word(4),
        block_number=log.block_number,
        log_index=log.log_index,
        tx_id=log.tx_id,
    )


def _decode_state(log: Log, words: Words) -> StateEvent:
    return StateEvent(log.address, words.uint(0, bits=8), log.block_number, log.log_index, log.tx_id)


def _decode_nft_created(log: Log, words: Words) -> NftCreated:
    return NftCreated(log.address, words.address(0), log.block_number, log.log_index, log.tx_id)


def _address_topic(log: Log, position: int) -> str:
    return address_of_word(bytes_of_hex(log.topics[position]))
