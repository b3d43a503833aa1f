"""Fees in exact units, which item pays, and when a job is paid."""

from dataclasses import replace
from decimal import Decimal

import pytest

from provider.chain.networks import ZERO_ADDRESS
from provider.compute.payment import Grant, Offer, OrderStatus, check_end, granted, offers, seconds_until
from provider.errors import ComputeEndInvalid, ComputeRefused
from provider.orders.check import Order
from provider.orders.fees import time_fee
from tests.unit.compute.facts import CONSUMER, HOUR, NOW, fee_event, order, tariff, tx_id

END = int(NOW) + HOUR
MINUTE, DAY = 60, 86_400


# What time costs


@pytest.mark.parametrize(
    ("price", "seconds", "decimals", "amount"),
    [
        ("1", MINUTE, 18, 10**18),
        ("1", MINUTE, 6, 10**6),
        ("1", 59 * MINUTE, 18, 59 * 10**18),
        ("1", 59 * MINUTE, 6, 59 * 10**6),
        ("1", 25 * HOUR, 18, 1500 * 10**18),
        ("1", 25 * HOUR, 6, 1500 * 10**6),
        ("1", 30 * DAY, 18, 43_200 * 10**18),
        ("1", 30 * DAY, 6, 43_200 * 10**6),
        ("0.1", 25 * HOUR, 18, 150 * 10**18),
        # Binary floats give 29983333333333334000 here.
        ("0.5", 3598, 18, 29_983_333_333_333_333_333),
        ("0.5", 3598, 6, 29_983_333),
        ("0.000000000000000001", 59, 18, 0),
        ("0.000000000000000001", 60, 18, 1),
        ("0.0000001", 30 * DAY, 6, 4320),
        ("0.123456789012345678", 7, 18, 14_403_292_051_440_329),
        ("1E+3", MINUTE, 6, 10**9),
        ("2.5", 1, 0, 0),
        ("2.5", 48, 0, 2),
        ("0", 30 * DAY, 18, 0),
        ("7", 0, 18, 0),
    ],
)
def test_fee_is_exact_to_the_last_unit_and_truncated(price: str, seconds: int, decimals: int, amount: int) -> None:
    assert time_fee(Decimal(price), seconds=seconds, decimals=decimals) == amount


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity"])
def test_what_is_no_price_has_no_fee(price: str) -> None:
    with pytest.raises(ValueError, match="not a price"):
        time_fee(Decimal(price), seconds=1, decimals=18)


def test_without_a_fee_token_nothing_is_asked() -> None:
    assert tariff("5", token=ZERO_ADDRESS).amount(HOUR) == 0


@pytest.mark.parametrize(
    ("end", "now", "seconds"),
    [(100, 99.0, 1), (100, 99.9, 1), (100, 100.0, 0), (100, 5000.0, 0), (90_000, 0.0, 90_000)],
)
def test_begun_seconds_count_and_past_ones_do_not(end: int, now: float, seconds: int) -> None:
    assert seconds_until(end, now) == seconds


@pytest.mark.parametrize("end", [0, int(NOW), int(NOW) - 1, 2**48, 10**77])
def test_end_must_lie_in_a_sensible_future(end: int) -> None:
    with pytest.raises(ComputeEndInvalid):
        check_end(end, NOW)


def test_next_second_is_the_future() -> None:
    check_end(int(NOW) + 1, NOW)


# Which item pays


def status(amount: int | None = None, *, ends: int = END, live: bool = True, number: int = 1) -> OrderStatus:
    if amount is None:
        return OrderStatus(tariff())
    return OrderStatus(tariff(), order(fee_event(amount=amount, valid_until=ends), number=number), is_live=live)


ENOUGH = 60 * 10**18


def test_without_orders_the_first_item_pays_all() -> None:
    assert offers([status(), status(), status()], end=END, now=NOW) == (
        Offer(None, ENOUGH),
        Offer(None, 0),
        Offer(None, 0),
    )


def test_order_that_pays_until_the_end_is_kept_and_the_others_are_free() -> None:
    told = offers([status(), status(ENOUGH, number=7), status()], end=END, now=NOW)
    assert told == (Offer(None, 0), Offer(tx_id(7), None), Offer(None, 0))


def test_everything_ordered_needs_nothing() -> None:
    told = offers([status(ENOUGH, number=1), status(0, number=2)], end=END, now=NOW)
    assert told == (Offer(tx_id(1), None), Offer(tx_id(2), None))


def test_live_order_that_ends_too_early_is_renewed_and_pays() -> None:
    told = offers([status(), status(ENOUGH, ends=END - 1, number=7)], end=END, now=NOW)
    assert told == (Offer(None, 0), Offer(tx_id(7), ENOUGH))


def test_live_order_that_paid_nothing_is_renewed_when_nobody_else_pays() -> None:
    """Kept as it is, it would lead to a job that nobody has paid for."""
    assert offers([status(0)], end=END, now=NOW) == (Offer(tx_id(1), ENOUGH),)
    told = offers([status(), status(0, number=7)], end=END, now=NOW)
    assert told == (Offer(None, 0), Offer(tx_id(7), ENOUGH))


def test_expired_order_is_renewed_and_named_by_its_first_transaction() -> None:
    """[K24]: reuseOrder is followed one hop only."""
    fee = fee_event(amount=ENOUGH, valid_until=int(NOW) - 1)
    renewed = OrderStatus(tariff(), order(fee, number=9, started_in=3), is_live=False)
    assert offers([renewed], end=END, now=NOW) == (Offer(tx_id(3), ENOUGH),)


def test_renewed_order_that_lasts_is_named_by_the_transaction_that_carries_the_fee() -> None:
    """[K24]"""
    fee = fee_event(amount=ENOUGH, valid_until=END)
    renewed = OrderStatus(tariff(), order(fee, number=9, started_in=3), is_live=True)
    assert offers([renewed], end=END, now=NOW) == (Offer(tx_id(9), None),)


def test_free_environment_renews_only_what_ends_too_early() -> None:
    free = tariff("0")
    kept = OrderStatus(free, order(fee_event(amount=0, valid_until=END)), is_live=True)
    early = OrderStatus(free, order(fee_event(amount=0, valid_until=END - 1), number=2), is_live=True)
    assert offers([kept, early], end=END, now=NOW) == (Offer(tx_id(1), None), Offer(tx_id(2), 0))


def test_fee_beyond_uint256_is_refused() -> None:
    with pytest.raises(ComputeEndInvalid):
        offers([OrderStatus(tariff("1E+50", decimals=40))], end=END, now=NOW)


# Whether a job is paid


def paid(amount: int, ends: int = END, number: int = 1) -> Order:
    return order(fee_event(amount=amount, valid_until=ends), number=number)


def test_one_sufficient_fee_pays_for_all_items() -> None:
    assert granted([(paid(0), tariff()), (paid(ENOUGH), tariff())], NOW) == Grant(1, END)


def test_last_item_decides_between_equal_ones() -> None:
    assert granted([(paid(ENOUGH), tariff()), (paid(ENOUGH), tariff())], NOW) == Grant(1, END)


def test_time_is_granted_as_far_as_one_fee_pays() -> None:
    """An unpaid fee with a later end lengthens nothing."""
    later = paid(0, ends=END + 30 * DAY)
    assert granted([(paid(ENOUGH), tariff()), (later, tariff())], NOW) == Grant(0, END)


def test_fee_shrinks_with_the_time_left() -> None:
    half = ENOUGH // 2
    assert granted([(paid(half), tariff())], NOW + HOUR / 2) == Grant(0, END)
    with pytest.raises(ComputeRefused) as refusal:
        granted([(paid(half - 10**18), tariff())], NOW + HOUR / 2)
    assert refusal.value.body() == {"error": {"order": "fees_not_paid"}}


@pytest.mark.parametrize("seconds_after_the_end", [0.0, 30.0])
def test_grace_after_the_end_gives_nothing_to_those_who_paid_nothing(seconds_after_the_end: float) -> None:
    with pytest.raises(ComputeRefused):
        granted([(paid(0), tariff())], END + seconds_after_the_end)
    assert granted([(paid(ENOUGH), tariff())], END + seconds_after_the_end).end == END


def test_fee_in_another_token_pays_nothing() -> None:
    fee = fee_event(amount=ENOUGH, valid_until=END, token=CONSUMER)
    with pytest.raises(ComputeRefused):
        granted([(order(fee), tariff())], NOW)


@pytest.mark.parametrize("price", ["0", "1"])
def test_fee_on_a_chain_without_the_environment_pays_nothing(price: str) -> None:
    """Test money, or a chain without a fee token, must not buy time that another chain sells."""
    elsewhere = replace(tariff(price), accepted=False)
    with pytest.raises(ComputeRefused):
        granted([(paid(ENOUGH), elsewhere)], NOW)
    main = OrderStatus(tariff())
    other = OrderStatus(elsewhere, paid(ENOUGH, number=2), is_live=True)
    assert offers([main, other], end=END, now=NOW) == (Offer(None, ENOUGH), Offer(tx_id(2), None))


def test_free_environment_needs_no_fee() -> None:
    assert granted([(paid(0), tariff("0"))], NOW) == Grant(0, END)
