"""Nonces as texts that sort like the numbers (pure), for stores that can only compare texts."""

from decimal import Decimal

from provider.auth.nonce import MAX_DIGITS, parse_nonce
from provider.wire.text import digits

# Most digits of a fraction. An exponent counts as digits.
_FRACTION_DIGITS = MAX_DIGITS
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def sortable(nonce: str) -> str:
    """Return a text that sorts like the number. All spellings of a number give the same text. Raises ValueError.

    Zero and above: `1`, the number of integer digits as three digits, the integer digits, the digits of the fraction.
    So a longer integer is the greater one, and after integers of one length the fractions compare digit by digit.

    Below zero: `0`, then the same digits of the number without its sign, each subtracted from nine. The fraction is
    padded with zeros first, so that no text is the beginning of another.

    The text holds digits only, because Redis compares texts by the collation of its server's locale.
    """
    if digits(nonce, max_chars=MAX_DIGITS) is not None:
        significant = nonce.lstrip("0")
        return f"1{len(significant):03}{significant}"
    value = parse_nonce(nonce)
    if value is None:
        raise ValueError("not a nonce")
    return sortable_value(value)


def sortable_value(value: Decimal) -> str:
    """As `sortable`, for a number with at most 100 digits on either side of the point."""
    # abs() would round to the 28 digits of the context.
    integer, _, fraction = format(value.copy_abs(), "f").partition(".")
    integer, fraction = integer.lstrip("0"), fraction.rstrip("0")
    digits = f"{len(integer):03}{integer}"
    if value >= 0 or not (integer or fraction):
        return f"1{digits}{fraction}"
    return "0" + f"{digits}{fraction.ljust(_FRACTION_DIGITS, '0')}".translate(_COMPLEMENT)
