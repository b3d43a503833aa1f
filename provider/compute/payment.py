"""What compute time costs, which item pays for it, and whether it was paid (pure; `provider-api.md` section 9).

Amounts are base units of the fee token, times unix seconds.
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
"""Times beyond this (some nine million years) are typing slips."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """Price of an environment on one chain: tokens per minute, the fee token and its decimals.

    `accepted`: the environment is offered on this chain. A fee on another one, of test money perhaps, pays nothing.
    """

    price_per_minute: Decimal
    token: str
    decimals: int
    accepted: bool = True

    @property
    def is_free(self) -> bool:
        """Does nothing have to be paid?"""
        return self.token == ZERO_ADDRESS or not self.price_per_minute

    def amount(self, seconds: int) -> int:
        """Fee for so much time; 0 for no time."""
        return 0 if self.is_free else time_fee(self.price_per_minute, seconds=seconds, decimals=self.decimals)

    def is_paid(self, order: Order, now: float) -> bool:
        """Does the fee of `order` cover the time until its own end?

        One second at least: within the grace after the end an order that paid nothing would cover no time at all.
        """
        if self.is_free or not self.accepted:
            return self.accepted
        seconds = max(seconds_until(order.fee.valid_until, now), 1)
        return order.fee.token.lower() == self.token.lower() and order.fee.amount >= self.amount(seconds)


def seconds_until(end: int, now: float) -> int:
    """Whole seconds from `now` until `end`, begun ones included, never negative."""
    return max(end - math.floor(now), 0)


def check_end(end: int, now: float) -> None:
    """Raises ComputeEndInvalid unless `end` lies in the future."""
    if not now < end < MAX_END:
        raise ComputeEndInvalid


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """How an item stands before it is quoted. `order` is valid, its fee perhaps expired; None: there is none.

    `is_live`: the fee is not expired and the order is for the environment asked for.
    """

    tariff: Tariff
    order: Order | None = None
    is_live: bool = False

    def lasts(self, end: int) -> bool:
        """Does the order as it is reach `end`?"""
        return self.is_live and self.order is not None and end <= self.order.fee.valid_until


@dataclass(frozen=True, slots=True)
class Offer:
    """What the consumer is told about one item.

    `valid_order`: transaction to use, or with an `amount` to renew; `amount` is that of the fee to sign, None: nothing
    has to be ordered.
    """

    valid_order: str | None
    amount: int | None


def offers(statuses: Sequence[OrderStatus], *, end: int, now: float) -> tuple[Offer, ...]:
    """One offer per item (datasets, then the algorithm), so that what they lead to starts until `end`.

    Exactly one item pays: the first whose order already does, else the first with a live order [K23], else the first
    of all. An order that lasts is kept as it is: its own transaction carries the fee [K24]. Renewals name the
    transaction of OrderStarted, because only one hop is followed. Raises ComputeEndInvalid for a price beyond uint256.
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
    """Time that was paid for: by which item (its position), and until when."""

    payer: int
    end: int


def granted(orders: Sequence[tuple[Order, Tariff]], now: float) -> Grant:
    """The time that one item's fee pays for in full; of several the latest end, and of those the last item.

    The other items' fees may name later ends, but nothing was paid for them. Raises ComputeRefused when no fee is
    enough.
    """
    paid = [
        Grant(index, order.fee.valid_until)
        for index, (order, tariff) in enumerate(orders)
        if tariff.is_paid(order, now)
    ]
    if not paid:
        raise ComputeRefused("order", "fees_not_paid")
    return max(paid, key=lambda grant: (grant.end, grant.payer))
