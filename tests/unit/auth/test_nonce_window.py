"""Clock values as nonces: which unit, how old one may be, and one text for each number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_window import canonical_text, moment_of, oldest_accepted


@pytest.mark.parametrize(
    ("greatest", "oldest"),
    [
        ("1700000000", "1699999400"),
        ("1700000000.5", "1699999400.5"),
        ("1700000000000", "1699999400000"),
        ("1700000000000000", "1699999400000000"),
        ("1700000000000000000", "1699999400000000000"),
        ("1.7e12", "1699999400000"),
        ("1700000000000." + "1" * 87, "1699999400000." + "1" * 87),
    ],
    ids=["s", "fraction", "ms", "us", "ns", "exponent", "long"],
)
def test_unit_of_the_clock_follows_from_the_greatest_nonce(greatest: str, oldest: str) -> None:
    assert oldest_accepted(greatest, 600) == Decimal(oldest)


@pytest.mark.parametrize(
    "greatest", ["1", "0", "-1700000000000", "999999999", "500000000000", "1" + "0" * 41, "9" * 100, "nan"]
)
def test_what_is_no_clock_value_has_no_window(greatest: str) -> None:
    assert oldest_accepted(greatest, 600) is None


@pytest.mark.parametrize("same", [["5", "5.0", "05", "+5", "5e0", "0.5e1", "50e-1"], ["0", "-0", "0.00", "0e5"]])
def test_all_ways_to_write_a_number_are_one_nonce(same: list[str]) -> None:
    assert len({canonical_text(text) for text in same}) == 1


def test_every_digit_of_a_nonce_counts() -> None:
    assert canonical_text("1" + "0" * 98 + "1") != canonical_text("1" + "0" * 98 + "2")
    assert canonical_text("1." + "0" * 98 + "1") != canonical_text("1." + "0" * 98 + "2")


NONCES = st.from_regex(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,2})?", fullmatch=True).filter(
    lambda text: parse_nonce(text) is not None
)


@given(NONCES)
def test_canonical_text_is_the_same_nonce_and_moments_fit_the_file(text: str) -> None:
    assert parse_nonce(canonical_text(text)) == parse_nonce(text)
    assert -(2**63) <= moment_of(text) < 2**63


@given(NONCES, NONCES)
def test_moments_never_order_two_nonces_the_wrong_way(one: str, other: str) -> None:
    smaller, greater = sorted((one, other), key=Decimal)
    assert moment_of(smaller) <= moment_of(greater)


@pytest.mark.parametrize("act", [canonical_text, moment_of])
def test_what_is_no_nonce_is_a_value_error(act: object) -> None:
    with pytest.raises(ValueError, match="not a nonce"):
        act("nan")  # type: ignore[operator]
