"""Texts that sort like the numbers they stand for, judged by Python's decimals."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provider.auth.nonce import MAX_DIGITS, parse_nonce
from provider.auth.nonce_order import sortable

DIGITS = "0123456789"
TEXTS = st.one_of(
    st.builds(
        lambda sign, integer, fraction, exponent: f"{sign}{integer}{fraction}{exponent}",
        st.sampled_from(["", "+", "-"]),
        st.text(DIGITS, min_size=1, max_size=40),
        st.one_of(st.just(""), st.text(DIGITS, max_size=40).map(lambda digits: f".{digits}")),
        st.one_of(st.just(""), st.integers(-60, 60).map(lambda exponent: f"e{exponent}")),
    ),
    st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1).map(str),
).filter(lambda text: parse_nonce(text) is not None)


@given(TEXTS, TEXTS)
@example("1000000000000000000000000000", "1000000000000000000000000000.1")
def test_order_of_the_texts_is_the_order_of_the_numbers(one: str, other: str) -> None:
    a, b = Decimal(one), Decimal(other)
    assert (sortable(one) < sortable(other), sortable(one) == sortable(other)) == (a < b, a == b)


@given(TEXTS)
def test_only_digits_are_in_the_text(nonce: str) -> None:
    text = sortable(nonce)
    assert text.isascii()
    assert text.isdigit()
    assert len(text) >= 4


@pytest.mark.parametrize("same", [("5", "5.0", "+05", "5e0", "50e-1"), ("0", "-0", "0.000", "0e9"), ("-1", "-1.0")])
def test_ways_to_write_a_number_share_a_text(same: tuple[str, ...]) -> None:
    assert len({sortable(text) for text in same}) == 1


@pytest.mark.parametrize("text", ["", "nan", "1_0", "9" * 101])
def test_what_is_no_nonce_has_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a nonce"):
        sortable(text)
