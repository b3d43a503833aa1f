"""Environments as the operator service lists them."""

from decimal import Decimal

import pytest

from provider.compute.environment import parse_environments, parse_price
from provider.errors import OperatorUnavailable


@pytest.mark.parametrize(
    ("value", "price"),
    [
        (0, "0"),
        (5, "5"),
        (0.1, "0.1"),
        ("0.1", "0.1"),
        (" 2.50 ", "2.50"),
        ("0.123456789012345678901", "0.123456789012345678901"),
        ("1e-3", "0.001"),
    ],
)
def test_price_is_a_number_or_its_text(value: object, price: str) -> None:
    assert parse_price(value) == Decimal(price)


@pytest.mark.parametrize(
    "value", [None, "", "free", -1, "-0.1", True, float("nan"), "Infinity", "1e999", "1_0", [], "1" * 61]
)
def test_what_is_no_price_is_none(value: object) -> None:
    """Taken for 0 it would give compute time away."""
    assert parse_price(value) is None


def test_environment_is_listed_as_received_with_the_fee_token() -> None:
    raw = {"id": "env", "priceMin": "1", "consumerAddress": "0x" + "ab" * 20, "unheard": [1]}
    (environment,) = parse_environments([raw], chain_id=8996, fee_token="0xToken")
    assert environment.listed == {**raw, "feeToken": "0xToken"}
    assert (environment.id, environment.chain_id, environment.price_per_minute) == ("env", 8996, Decimal(1))
    assert str(environment.consumer_address).lower() == "0x" + "ab" * 20


@pytest.mark.parametrize("raw", [None, {}, "text", [1], [{"id": "env"}, None]], ids=str)
def test_answer_that_is_no_list_of_objects_is_no_answer(raw: object) -> None:
    with pytest.raises(OperatorUnavailable):
        parse_environments(raw, chain_id=1, fee_token="0x")


@pytest.mark.parametrize("address", [None, "", "0x12", 5])
def test_environment_without_an_address_downloads_for_nobody(address: object) -> None:
    (environment,) = parse_environments([{"id": "e", "consumerAddress": address}], chain_id=1, fee_token="0x")
    assert environment.consumer_address is None
