"""Serialises facts about orders for other hosts (pure): only those that stay valid, or are as short-lived there."""

from collections.abc import Callable
from dataclasses import astuple, fields
from typing import Any, TypeVar

from provider.chain.contracts import NO_STATE
from provider.chain.events import OrderReused, OrderStarted, ProviderFee, Receipt
from provider.orders.lookup import SeenReceipt

Json = Any
Event = TypeVar("Event", OrderStarted, OrderReused, ProviderFee)

# By type of the field. Text is stored unchanged.
_READERS: dict[Any, Callable[[str], Any]] = {str: str, int: int, bytes: bytes.fromhex}


def pack_receipt(seen: SeenReceipt) -> object | None:
    """Pack a final receipt without documents. Others give None: documents are large, and no order needs them."""
    receipt = seen.receipt
    if not seen.is_final or receipt.metadata:
        return None
    return [
        receipt.tx_id,
        receipt.succeeded,
        receipt.block_number,
        [_plain(event) for event in receipt.order_started],
        [_plain(event) for event in receipt.order_reused],
        [_plain(event) for event in receipt.provider_fees],
    ]


def unpack_receipt(value: Json) -> SeenReceipt:
    """Unpack a receipt. Raises ValueError for anything else."""
    try:
        tx_id, succeeded, block_number, started, reused, fees = value
        receipt = Receipt(
            tx_id=_typed(tx_id, str),
            succeeded=_typed(succeeded, bool),
            block_number=_typed(block_number, int),
            order_started=tuple(_event(OrderStarted, event) for event in started),
            order_reused=tuple(_event(OrderReused, event) for event in reused),
            provider_fees=tuple(_event(ProviderFee, event) for event in fees),
        )
    except TypeError:
        raise ValueError("not a receipt") from None
    return SeenReceipt(receipt, is_final=True)


def pack_flag(known: bool) -> object | None:
    """Pack a yes; a no gives None, since it may change."""
    return True if known else None


def unpack_flag(value: Json) -> bool:
    """Unpack a flag. Raises ValueError."""
    return bool(_typed(value, bool))


def pack_state(state: int) -> object | None:
    """Pack the state of a data NFT, whose lifetime limits it. None for an NFT that does not exist yet."""
    return None if state == NO_STATE else state


def unpack_state(value: Json) -> int:
    """Unpack a state. Raises ValueError."""
    return int(_typed(value, int))


def _plain(event: OrderStarted | OrderReused | ProviderFee) -> list[object]:
    """Numbers as text, since most have 256 bits; bytes as hex."""
    return [
        item.hex() if isinstance(item, bytes) else str(item) if isinstance(item, int) else item
        for item in astuple(event)
    ]


def _event(kind: type[Event], values: Json) -> Event:
    members = fields(kind)
    if len(_typed(values, list)) != len(members):
        raise ValueError("not a packed event")
    return kind(*(_READERS[member.type](_typed(value, str)) for member, value in zip(members, values, strict=True)))


def _typed(value: Json, kind: type) -> Json:
    if type(value) is not kind:
        raise ValueError("not a packed fact")
    return value
