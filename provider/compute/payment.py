"""The price of compute time, the item that pays, and the check of the payment (pure; `provider-api.md` section 9).

Amounts are base units of the fee token, times are unix seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from provider.chain.networks import ZERO_ADDRESS
from provider.errors import ComputeEndInvalid, ComputeRefused
from provider.orders.check import Order
from provider.orders.fees import time_fee

MAX_END = 2**48
"""Times beyond this (some nine million years) are typing errors."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """The price of an environment on one chain: tokens per minute, the fee token and its decimals.

    `accepted`: the environment is offered on this chain. A fee on another chain, perhaps in test money, pays for
        nothing.
    """

    price_per_minute: Decimal
    token: str
    decimals: int
    accepted: bool = True

    @property
    def is_free(self) -> bool:
        """Tell whether nothing has to be paid."""
        return self.token == ZERO_ADDRESS or not self.price_per_minute

    def amount(self, seconds: int) -> int:
        """Return the fee for that many seconds; 0 for no time."""
        return 0 if self.is_free else time_fee(self.price_per_minute, seconds=seconds, decimals=self.decimals)

    def is_paid(self, order: Order, now: float) -> bool:
        """Tell whether the fee of `order` covers the time until its own end.

        It must cover one second at least: in the grace period after the end, an order that paid nothing would cover no
        time.
        """
        if self.is_free or not self.accepted:
            return self.accepted
        seconds = max(seconds_until(order.fee.valid_until, now), 1)
        return order.fee.token.lower() == self.token.lower() and order.fee.amount >= self.amount(seconds)


def seconds_until(end: int, now: float) -> int:
    """Return the seconds from `now` until `end`, rounded up, never negative."""
    return max(end - math.floor(now), 0)


def check_end(end: int, now: float) -> None:
    """Raise ComputeEndInvalid unless `end` lies in the future."""
    if not now < end < MAX_END:
        raise ComputeEndInvalid


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """The state of an item's order before it is quoted.

    `order`: a valid order, whose fee may have expired; None if there is none.
    `is_live`: the fee has not expired and the order is for the requested environment.
    """

    tariff: Tariff
    order: Order | None = None
    is_live: bool = False

    def lasts(self, end: int) -> bool:
        """Tell whether the order reaches `end` as it is."""
        return self.is_live and self.order is not None and end <= self.order.fee.valid_until


@dataclass(frozen=True, slots=True)
class Offer:
    """The answer to the consumer about one item.

    `valid_order`: the transaction to use, or to renew if there is an `amount`.
    `amount`: the fee to sign; None if nothing has to be ordered.
    """

    valid_order: str | None
    amount: int | None


def offers(statuses: Sequence[OrderStatus], *, end: int, now: float) -> tuple[Offer, ...]:
    """Make one offer per item (datasets, then the algorithm), so that a job can run until `end`.

    Exactly one item pays: the first whose order already pays, else the first with a live order [K23], else the first of
    all. An order that lasts is kept: its own transaction carries the fee [K24]. Renewals name the transaction of
    OrderStarted, because only one hop is followed. Raises ComputeEndInvalid for a price beyond uint256.
    """
    paid = [status.lasts(end) and _pays(status, now) for status in statuses]
    live = [status.is_live and status.tariff.accepted for status in statuses]
    payer = paid.index(True) if True in paid else live.index(True) if True in live else 0
    return tuple(
        _offer(
            status,
            end=end,
            now=now,
            keeps=status.lasts(end) and (index != payer or paid[index]),
            pays=index == payer,
        )
        for index, status in enumerate(statuses)
    )


def _pays(status: OrderStatus, now: float) -> bool:
    return status.order is not None and status.tariff.is_paid(status.order, now)


def _offer(status: OrderStatus, *, end: int, now: float, keeps: bool, pays: bool) -> Offer:
    order = status.order
    if order is not None and keeps:
        return Offer(order.tx_id, None)
    amount = status.tariff.amount(seconds_until(end, now)) if pays else 0
    if amount >> 256:
        raise ComputeEndInvalid(detail="the fee is larger than a token amount can be")
    return Offer(order.started_tx_id if order is not None else None, amount)


@dataclass(frozen=True, slots=True)
class Grant:
    """The paid time: which item paid (its position), and until when."""

    payer: int
    end: int


def granted(orders: Sequence[tuple[Order, Tariff]], now: float) -> Grant:
    """Return the time that one item's fee pays for in full. Of several, the latest end counts, then the last item.

    Other items' fees may name later ends, but nothing was paid for those. Raises ComputeRefused if no fee is enough.
    """
    paid = [
        Grant(index, order.fee.valid_until)
        for index, (order, tariff) in enumerate(orders)
        if tariff.is_paid(order, now)
    ]
    if not paid:
        raise ComputeRefused("order", "fees_not_paid")
    return max(paid, key=lambda grant: (grant.end, grant.payer))
