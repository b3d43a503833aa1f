"""Which texts are nonces, and which nonce is greater."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.nonce import is_greater, parse_nonce


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "1",
        "007",
        "-3",
        "+3",
        "1.5",
        ".5",
        "5.",
        "1e3",
        "1E+22",
        "1.5e-7",
        "1e99",
        "1644315615.24195",
        "1690000000000000000",
        "9" * 41,
        "9" * 100,
        "-" + "9" * 50 + "." + "9" * 50,
    ],
)
def test_finite_decimal_text_is_a_nonce(text: str) -> None:
    assert parse_nonce(text) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        ".",
        "e5",
        "nan",
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        "0x10",
        "1_000",
        " 1",
        "1 ",
        "1\n",
        "1,5",
        "1.2.3",
        "--1",
        "1e",
        "1e1.5",
        "1e1000",
        "1e100",
        "1e-100",
        "1e999999999",
        "9" * 101,
        "0" * 101,
        "." + "9" * 101,
        "9" * 1_000_000,
        "٣",
        "１",
        "²",
        "None",
        "True",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_other_text_is_no_nonce(text: str) -> None:
    assert parse_nonce(text) is None
    assert is_greater(text, "1") is None
    assert is_greater("1", text) is None


@pytest.mark.parametrize(
    ("given_nonce", "stored", "expected"),
    [
        ("2", "1", True),
        ("1", "1", False),
        ("1", "2", False),
        ("1.0", "1", False),
        ("01", "1", False),
        ("1e0", "1", False),
        ("+1", "1", False),
        ("10", "9", True),
        ("0.1", "0.09", True),
        ("-1", "-2", True),
        ("0", "-0", False),
        ("9007199254740993", "9007199254740992", True),
        ("1690000000000000001", "1690000000000000000", True),
        ("1644315615.241951", "1644315615.24195", True),
        ("1" + "0" * 98 + "1", "1" + "0" * 99, True),
    ],
)
def test_greater_is_decided_exactly(given_nonce: str, stored: str, expected: bool) -> None:
    assert is_greater(given_nonce, stored) is expected


decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=12).map(str)


@given(decimals, decimals)
def test_order_is_that_of_exact_fractions(one: str, other: str) -> None:
    assert is_greater(one, other) is (Fraction(one) > Fraction(other))


@given(st.text(max_size=120))
def test_parse_never_raises_and_gives_only_finite_numbers(text: str) -> None:
    value = parse_nonce(text)
    assert value is None or value.is_finite()
