"""Clock values as nonces: which kind a number is, and how old one may be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_window import clock_nonce, has_window, is_large, kind_of, oldest_order, seconds_of


@pytest.mark.parametrize(
    ("nonce", "kind"),
    [
        ("1", "c"),
        ("0", "c"),
        ("-1700000000000", "c"),
        ("999999999.9", "c"),
        ("1000000000", "c"),
        ("1499999999.9", "c"),
        ("1500000000", "10"),
        ("1700000000", "10"),
        ("1644315615.24195", "10"),
        ("1700000000000", "13"),
        ("1.7e12", "13"),
        ("01700000000000", "13"),
        ("1700000000000000", "16"),
        ("1700000000000000000", "19"),
        ("1499999999999", "f13"),
        ("4099999999999", "13"),
        ("4100000000000", "f13"),
        ("500000000000", "f12"),
        ("9007199254740993", "f16"),
        ("1" + "0" * 41, "f42"),
        ("9" * 100, "f100"),
    ],
)
def test_kind_follows_from_the_size(nonce: str, kind: str) -> None:
    assert kind_of(sortable(nonce)) == kind
    assert is_large(kind) is kind.startswith("f")
    assert has_window(kind) is (kind in ("13", "16", "19"))


@pytest.mark.parametrize(
    ("greatest", "oldest"),
    [
        ("1700000000000", "1699999400000"),
        ("1700000000000000", "1699999400000000"),
        ("1700000000000000000", "1699999400000000000"),
        ("1.7e12", "1699999400000"),
        ("1700000000000." + "1" * 87, "1699999400000." + "1" * 87),
    ],
    ids=["ms", "us", "ns", "exponent", "long"],
)
def test_the_window_is_ten_minutes_of_the_clock_that_it_is(greatest: str, oldest: str) -> None:
    assert oldest_order(greatest, kind_of(sortable(greatest))) == sortable(oldest)


@pytest.mark.parametrize("kind", ["10", "13", "16", "19"])
def test_a_clock_value_is_of_its_kind_and_tells_its_time(kind: str) -> None:
    nonce = clock_nonce(1_795_000_000.5, kind)
    assert kind_of(sortable(nonce)) == kind
    assert seconds_of(nonce, kind) == pytest.approx(1_795_000_000.5, abs=1)


WHOLE = st.integers(0, 10**40).map(str)


@given(WHOLE, st.text("0123456789", min_size=1, max_size=30))
def test_digits_in_front_never_give_a_clock_value_of_the_same_kind(nonce: str, digits: str) -> None:
    """What rules out that two readings of one text fit one clock."""
    kind, other = kind_of(sortable(nonce)), kind_of(sortable(digits + nonce))
    if kind != "c" and parse_nonce(digits + nonce) != Decimal(nonce):
        assert other != kind


@pytest.mark.parametrize("act", [sortable, lambda text: oldest_order(text, "13")])
def test_what_is_no_nonce_is_a_value_error(act: object) -> None:
    with pytest.raises(ValueError, match="not a nonce"):
        act("nan")  # type: ignore[operator]
