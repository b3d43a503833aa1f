"""No job starts without a valid, unexpired, sufficiently paid order of every item for exactly that environment."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.compute.orders import OrderedItem, authorize
from provider.compute.payment import Tariff
from provider.errors import ComputeRefused
from provider.orders.check import OrderFacts
from tests.unit.compute.facts import (
    ACCOUNT,
    CONSUMER,
    ENVIRONMENT_ADDRESS,
    HOUR,
    NFT,
    NOW,
    OTHER,
    TOKEN,
    fee_event,
    ordered,
    receipt,
    tariff,
    tx_id,
)

END = int(NOW) + HOUR
ENOUGH = 60 * 10**18


def reason(*items: OrderedItem, sender: str = CONSUMER, now: float = NOW) -> object:
    """`ok`, or the body of the refusal."""
    try:
        authorize(items, sender=sender, environment="env1", now=now)
    except ComputeRefused as error:
        return error.body()["error"]
    return "ok"


def good(resource: str = "dataset", *, amount: int = ENOUGH, number: int = 1) -> OrderedItem:
    return ordered(fee_event(amount=amount, valid_until=END), resource, number=number)


def test_paid_orders_start_a_job() -> None:
    allowed = authorize(
        (good(), good("datasets[1]", amount=0, number=2), good("algorithm", amount=0, number=3)),
        sender=CONSUMER.lower(),
        environment="env1",
        now=NOW,
    )
    assert [order.tx_id for order in allowed.orders] == [tx_id(1), tx_id(2), tx_id(3)]
    assert (allowed.grant.payer, allowed.grant.end) == (0, END)


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        ("dataset", {"dataset.serviceId": "order_invalid"}),
        ("datasets[1]", {"datasets[1].serviceId": "order_invalid"}),
        ("algorithm", {"algorithm": "in_use_or_not_on_chain"}),
    ],
)
def test_refusal_names_the_item(resource: str, error: object) -> None:
    other = ordered(fee_event(amount=0, valid_until=END, environment="env2"), resource, number=2)
    assert reason(good(), other) == error


@pytest.mark.parametrize("environment", ["env2", "ENV1", "env1 ", "", None])
def test_order_is_for_exactly_one_environment(environment: str | None) -> None:
    item = ordered(fee_event(amount=ENOUGH, valid_until=END, environment=environment))
    assert reason(item) == {"dataset.serviceId": "order_invalid"}


def test_nft_of_no_factory_has_no_orders() -> None:
    """Its own contract could emit a fee that nobody has paid."""
    assert reason(replace(good(), genuine=False)) == {"dataset.serviceId": "order_invalid"}


def test_grace_is_the_time_between_quote_and_order_and_a_little() -> None:
    fee = fee_event(amount=ENOUGH, valid_until=END, quoted_at=NOW - 60)  # ordered ten seconds after the quote
    assert reason(ordered(fee), now=END + 99) == "ok"
    assert reason(ordered(fee), now=END + 101) == {"dataset.serviceId": "order_invalid"}


@pytest.mark.parametrize("resource", ["algorithm", "datasets[1]"])
def test_expired_fee_of_an_item_that_does_not_pay_stops_nothing(resource: str) -> None:
    old = ordered(fee_event(amount=0, valid_until=int(NOW) - HOUR), resource, number=2)
    allowed = authorize((old, good()), sender=CONSUMER, environment="env1", now=NOW)
    assert (allowed.grant.payer, allowed.grant.end) == (1, END)
    assert [order.tx_id for order in allowed.orders] == [tx_id(2), tx_id(1)]


@pytest.mark.parametrize(
    ("amount", "environment", "error"),
    [
        # Its own rules stay: the environment, and that it was paid for once does not pay for now.
        (0, "env2", {"algorithm": "in_use_or_not_on_chain"}),
        (2 * ENOUGH, "env1", {"algorithm": "in_use_or_not_on_chain"}),
    ],
)
def test_expired_fee_pays_for_nothing(amount: int, environment: str, error: object) -> None:
    fee = fee_event(amount=amount, valid_until=int(NOW) - HOUR, environment=environment)
    assert reason(good(amount=0), ordered(fee, "algorithm", number=2)) == error


def test_renewed_order_needs_the_first_one() -> None:
    fee = fee_event(amount=ENOUGH, valid_until=END)
    renewed = receipt(fee, 2, reuses=1)
    first = receipt(fee_event(amount=0, valid_until=int(NOW) - HOUR), 1)
    assert reason(ordered(fee, number=2, facts=OrderFacts(True, renewed, first))) == "ok"
    assert reason(ordered(fee, number=2, facts=OrderFacts(True, renewed, None))) != "ok"


items = st.builds(
    dict,
    environment=st.sampled_from(["env1", "env1", "env1", "env2", None]),
    amount=st.sampled_from([0, ENOUGH // 2, ENOUGH - 1, ENOUGH, 2 * ENOUGH]),
    valid_until=st.sampled_from([END - 2 * HOUR, END - HOUR // 2, END, END + HOUR]),
    account=st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, OTHER]),
    token=st.sampled_from([TOKEN, TOKEN, TOKEN, NFT]),
    genuine=st.sampled_from([True, True, True, False]),
    deployed=st.sampled_from([True, True, True, False]),
    mined=st.sampled_from([True, True, True, False]),
    succeeded=st.sampled_from([True, True, True, False]),
)


def built(fields: dict[str, object], number: int, price: Tariff) -> OrderedItem:
    fee = fee_event(**{key: fields[key] for key in ("environment", "amount", "valid_until", "account", "token")})  # type: ignore[arg-type]
    seen = replace(receipt(fee, number), succeeded=bool(fields["succeeded"]))
    facts = OrderFacts(bool(fields["deployed"]), seen if fields["mined"] else None)
    resource = "dataset" if number == 1 else f"datasets[{number - 1}]"
    return ordered(fee, resource, number=number, genuine=bool(fields["genuine"]), price=price, facts=facts)


@given(
    wanted=st.lists(items, min_size=1, max_size=4),
    price=st.sampled_from(["0", "1", "0.25"]),
    sender=st.sampled_from([CONSUMER, CONSUMER, ENVIRONMENT_ADDRESS, NFT]),
)
def test_nothing_starts_without_valid_and_paid_orders(wanted: list[dict[str, object]], price: str, sender: str) -> None:
    """The rules once more, each said in one line and apart from the code under test."""
    rate = tariff(price)
    allowed = reason(*(built(fields, number, rate) for number, fields in enumerate(wanted, 1)), sender=sender) == "ok"
    grace = 90 + 10  # ordered ten seconds after the quote

    def is_valid(fields: dict[str, object]) -> bool:
        return (
            fields["environment"] == "env1"
            and fields["account"] is ACCOUNT
            and all(fields[key] for key in ("genuine", "deployed", "mined", "succeeded"))
        )

    def pays(fields: dict[str, object]) -> bool:
        if int(str(fields["valid_until"])) + grace <= NOW:
            return False
        seconds = max(int(str(fields["valid_until"])) - int(NOW), 1)
        cost = Decimal(price) * 10**18 * seconds / 60
        return not cost or (fields["token"] == TOKEN and Decimal(str(fields["amount"])) >= int(cost))

    expected = sender in (CONSUMER, ENVIRONMENT_ADDRESS) and all(map(is_valid, wanted)) and any(map(pays, wanted))
    assert allowed == expected
