"""What another Provider says is looked at before it is passed on [K12]."""

from typing import Any

import pytest

from provider.cache import FactCache
from provider.compute.other_providers import OtherProviders, base_url, read_offer, root_address
from provider.orders.fees import quote_fee
from tests.unit.compute.facts import DATATOKEN, OTHER, TOKEN, chosen, tx_id

ADDRESS = OTHER.address


def fee() -> dict[str, Any]:
    quote = quote_fee(
        OTHER,
        token=TOKEN,
        amount=5,
        valid_until=7,
        datatoken=DATATOKEN,
        service_id="c0",
        environment=None,
        now=1.0,
    )
    return dict(quote)


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("https://p.example", "https://p.example"),
        ("https://p.example/", "https://p.example"),
        (" https://p.example/path/ ", "https://p.example/path"),
        ("https://p.example/api/services/download", "https://p.example"),
    ],
)
def test_base_of_an_endpoint(endpoint: str, base: str) -> None:
    assert base_url(endpoint) == base


@pytest.mark.parametrize(
    ("answer", "address"),
    [
        ({"providerAddresses": {"1": ADDRESS}}, ADDRESS.lower()),
        ({"providerAddresses": {"1": ADDRESS.upper().replace("0X", "0x")}}, ADDRESS.lower()),
        ({"providerAddresses": {"2": ADDRESS}}, ""),
        ({"providerAddress": ADDRESS}, ADDRESS.lower()),
        ({"providerAddresses": {"1": 5}}, ""),
        ({"providerAddresses": []}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_address_of_a_root(answer: object, address: str) -> None:
    assert root_address(answer, 1) == address


def test_offer_is_reduced_to_its_known_keys() -> None:
    answer = {"datatoken": DATATOKEN.lower(), "nonce": "1", "providerFee": {**fee(), "more": "x"}, "evil": "x"}
    assert read_offer(answer, datatoken=DATATOKEN) == {"datatoken": DATATOKEN, "providerFee": fee()}


def test_valid_order_is_passed_on() -> None:
    assert read_offer({"validOrder": tx_id(1), "more": 1}, datatoken=DATATOKEN) == {"validOrder": tx_id(1)}


@pytest.mark.parametrize(
    "change",
    [
        {"providerFeeAddress": "0x12"},
        {"providerFeeToken": None},
        {"providerFeeAmount": "1.5"},
        {"providerFeeAmount": -1},
        {"providerData": "<script>"},
        {"v": "27"},
        {"v": True},
        {"validUntil": -1},
        {"r": "0x12"},
        {"s": None},
    ],
    ids=str,
)
def test_fee_of_another_shape_is_no_offer(change: dict[str, object]) -> None:
    answer = {"datatoken": DATATOKEN, "providerFee": {**fee(), **change}}
    assert read_offer(answer, datatoken=DATATOKEN) is None


@pytest.mark.parametrize(
    "answer",
    [None, [], "text", {}, {"validOrder": "0x12"}, {"datatoken": TOKEN}, {"datatoken": DATATOKEN, "providerFee": []}],
    ids=str,
)
def test_anything_else_is_no_offer(answer: object) -> None:
    assert read_offer(answer, datatoken=DATATOKEN) is None


def test_fee_for_another_datatoken_is_no_offer() -> None:
    assert read_offer({"datatoken": TOKEN, "providerFee": fee()}, datatoken=DATATOKEN) is None


@pytest.mark.gen_test(timeout=5)
async def test_own_url_is_known_without_asking() -> None:
    roots: FactCache[Any, Any] = FactCache(name="roots", max_entries=1, ttl_seconds=1)
    others = OtherProviders(
        origin=None,  # type: ignore[arg-type] - nothing may be asked
        own_urls=frozenset({"http://other.example/"}),
        roots=roots,
        timeout_seconds=1,
    )
    assert await others.is_ours(chosen())
