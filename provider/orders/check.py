"""Decides whether a transaction is a valid paid right to consume a service (pure).

Facts and `now` in, an Order or the exact OrderError out. Steps, their order and their texts follow `provider-api.md`
section 8.3 with the corrections of `decisions.md`: every event must come from the datatoken itself, and the timeout
counts from OrderStarted.
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from provider.assets.ddo import Service
from provider.chain.events import OrderStarted, ProviderFee, Receipt
from provider.errors import (
    OrderDatatokenUnknown,
    OrderEnvironmentMismatch,
    OrderExpired,
    OrderFeeExpired,
    OrderFeeMismatch,
    OrderFeeMissing,
    OrderNotConsumer,
    OrderNotFound,
    OrderTransactionFailed,
    OrderUnderpaid,
)
from provider.orders.fees import fee_signer_matches
from provider.wire.json import read_json

ONE_DATATOKEN_WEI = 10**18
"""The price of an order. The contracts always use exactly this amount."""

_FEE_GRACE_SECONDS = 90
# Our own providerData has about 250 bytes. Whoever sends more is not paying us, and it is parsed at every download.
_MAX_PROVIDER_DATA_BYTES = 4096
_TX_ID = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})", re.ASCII)
_ZERO_TX_ID = "0x" + "0" * 64


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What the chain says, independent of the consumer and of the time.

    Attributes:
        receipt: None if the transaction is unknown or not mined.
        started_receipt: receipt of the transaction that `referenced_order` names; None without one, or if it is
            unknown.
    """

    datatoken_deployed: bool
    receipt: Receipt | None
    started_receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A valid order.

    Attributes:
        tx_id: the transaction that the consumer sent.
        started_tx_id: the transaction of OrderStarted; the same unless the order was reused.
        started_at: unix seconds.
        fee: the provider fee paid with `tx_id`.
    """

    tx_id: str
    started_tx_id: str
    consumer: str
    payer: str
    fee: ProviderFee
    started_at: int


@dataclass(frozen=True, slots=True)
class _FeeData:
    """Our reading of providerData: datatoken and service in lower case; environment and time if they are valid."""

    datatoken: str
    service_id: str
    environment: str | None
    timestamp: float


def parse_tx_id(text: str) -> str:
    """Normalise a transaction id (`0x` optional, any case) to lower-case hex with `0x`. Raises OrderNotFound."""
    match = _TX_ID.fullmatch(text)
    if match is None:
        raise OrderNotFound("The transaction id is not 32 bytes of hex.")
    return "0x" + match[1].lower()


def referenced_order(receipt: Receipt, datatoken: str) -> str | None:
    """Id of the transaction that the first OrderReused of `datatoken` in `receipt` refers to, if any."""
    if not receipt.order_reused:
        return None
    emitter = datatoken.lower()
    for reused in receipt.order_reused:
        if reused.emitter.lower() == emitter:
            return reused.order_tx_id if reused.order_tx_id != _ZERO_TX_ID else None
    return None


def check_order(
    facts: OrderFacts,
    service: Service,
    *,
    tx_id: str,
    sender: str,
    provider: str,
    now: float,
    environment: str | None = None,
    tolerate_expired_fee: bool = False,
) -> Order:
    """Return the order that lets `sender` consume `service` at `now`. Addresses may be in any case.

    Args:
        facts: what the chain says.
        service: the service to consume.
        tx_id: the transaction that the consumer sent.
        sender: the consumer.
        provider: our address on this chain.
        now: unix seconds.
        environment: the compute environment that the order must be for; None for any.
        tolerate_expired_fee: accept a fee whose compute time is over.

    Raises:
        OrderError: the subclass for the first broken rule.
    """
    if not facts.datatoken_deployed:
        raise OrderDatatokenUnknown
    if facts.receipt is None:
        raise OrderNotFound(f"Transaction with tx id {tx_id} was not found, it may not be confirmed yet.")
    if not facts.receipt.succeeded:
        raise OrderTransactionFailed
    emitter = service.datatoken.lower()
    fee, data = _find_fee(facts.receipt, emitter, service.id.lower(), tx_id)
    if environment is not None and data.environment != environment:
        raise OrderEnvironmentMismatch
    _check_fee_is_ours(fee, provider)
    if environment is not None and not tolerate_expired_fee:
        _check_fee_is_live(fee, data, facts.receipt, emitter, now)
    started_in = facts.receipt
    if referenced_order(facts.receipt, service.datatoken) is not None:
        started_in = _require_referenced(facts.started_receipt, tx_id)
    started = _find_started(started_in, emitter, service.index, sender.lower(), tx_id)
    _check_paid(started)
    _check_timeout(started, service.timeout_seconds, now)
    if sender.lower() not in (started.consumer.lower(), started.payer.lower()):
        raise OrderNotConsumer
    return Order(
        tx_id=facts.receipt.tx_id,
        started_tx_id=started_in.tx_id,
        consumer=started.consumer,
        payer=started.payer,
        fee=fee,
        started_at=started.timestamp,
    )


def _find_fee(receipt: Receipt, emitter: str, service_id: str, tx_id: str) -> tuple[ProviderFee, _FeeData]:
    """The datatoken's last fee event whose providerData names the datatoken and the service."""
    for fee in reversed(receipt.provider_fees):
        if fee.emitter.lower() != emitter or len(fee.provider_data) > _MAX_PROVIDER_DATA_BYTES:
            continue
        data = _read_fee_data(fee.provider_data)
        if data is not None and data.datatoken == emitter and data.service_id == service_id:
            return fee, data
    raise OrderFeeMissing(f"Cannot find the event for the provider fee in tx id {tx_id}.")


# The same bytes are read at every download of an order: nearly always 250, at most _MAX_PROVIDER_DATA_BYTES.
@lru_cache(maxsize=1024)
def _read_fee_data(provider_data: bytes) -> _FeeData | None:
    """Parse providerData. None if it does not name datatoken and service."""
    try:
        data = read_json(provider_data)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    # ocean-node writes only `dt` and `id`, so nothing else may be required here.
    datatoken, service_id = data.get("dt"), data.get("id")
    if not isinstance(datatoken, str) or not isinstance(service_id, str):
        return None
    environment, timestamp = data.get("environment"), data.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or not math.isfinite(timestamp):
        timestamp = 0.0
    return _FeeData(
        datatoken=datatoken.lower(),
        service_id=service_id.lower(),
        environment=environment if isinstance(environment, str) else None,
        timestamp=float(timestamp),
    )


def _check_fee_is_ours(fee: ProviderFee, provider: str) -> None:
    if fee.provider.lower() != provider.lower():
        raise OrderFeeMismatch(
            f"The providerFeeAddress {fee.provider} in the event does not match the provider address {provider}"
        )
    if not fee_signer_matches(fee, provider):
        raise OrderFeeMismatch


def _check_fee_is_live(fee: ProviderFee, data: _FeeData, receipt: Receipt, emitter: str, now: float) -> None:
    """Compute only: access ends at `valid_until` plus the time between quote and order plus a fixed grace.

    The block's time comes from the datatoken's own event, where the contract writes block.timestamp. A receipt without
    such an event contains no order and is refused for that reason.
    """
    block_timestamps = [
        *(event.timestamp for event in receipt.order_reused if event.emitter.lower() == emitter),
        *(event.timestamp for event in receipt.order_started if event.emitter.lower() == emitter),
    ]
    if not fee.valid_until or not block_timestamps or data.timestamp <= 0:
        return
    # The signed timestamp moves to the left side, so that only its float is added to `now`: the integers come from a
    # contract and may exceed the range of a float.
    last_second = fee.valid_until + block_timestamps[0] + _FEE_GRACE_SECONDS
    if now >= fee.valid_until and now + data.timestamp >= last_second:
        raise OrderFeeExpired


def _require_referenced(started_receipt: Receipt | None, tx_id: str) -> Receipt:
    if started_receipt is None:
        raise _no_order(tx_id)
    if not started_receipt.succeeded:
        raise OrderTransactionFailed("order referenced in OrderReused failed.")
    return started_receipt


def _find_started(receipt: Receipt, emitter: str, service_index: int, sender: str, tx_id: str) -> OrderStarted:
    """The datatoken's last OrderStarted for the service that fits the sender, or else the last one.

    A transaction may contain several: startMultipleTokenOrder buys up to 50 orders.
    """
    candidates = [
        event
        for event in receipt.order_started
        if event.service_index == service_index and event.emitter.lower() == emitter
    ]
    if not candidates:
        raise _no_order(tx_id)
    for event in reversed(candidates):
        if sender in (event.consumer.lower(), event.payer.lower()):
            return event
    return candidates[-1]


def _check_paid(started: OrderStarted) -> None:
    if started.amount_wei < ONE_DATATOKEN_WEI:
        raise OrderUnderpaid(
            "The amount in the event is less than the amount requested. "
            f"requested: amount={ONE_DATATOKEN_WEI} event: amount={started.amount_wei}"
        )


def _check_timeout(started: OrderStarted, timeout_seconds: int, now: float) -> None:
    if timeout_seconds != 0 and now > started.timestamp + timeout_seconds:
        raise OrderExpired(
            f"The order has expired. current timestamp={int(now)} order timestamp={started.timestamp} "
            f"timestamp delta={int(now) - started.timestamp} service timeout={timeout_seconds}"
        )


def _no_order(tx_id: str) -> OrderNotFound:
    return OrderNotFound(f"Cannot find the event for the order transaction with tx id {tx_id}.")
