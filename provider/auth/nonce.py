"""Nonces as exact decimals (pure).

Text as sent in, an ordered value out. Storing and the compare-and-set are `nonce_store.py`.
"""

import re
from decimal import Decimal
from functools import lru_cache

# Old ocean.js makes 41-digit nonces and clocks give 19; 100 leaves room and keeps every comparison cheap.
MAX_DIGITS = 100

_NUMBER = re.compile(r"[+-]?(?P<mantissa>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?", re.ASCII)
# Sign, point and an exponent of five characters come on top of the digits.
_MAX_TEXT = MAX_DIGITS + 7


def parse_nonce(text: str) -> Decimal | None:
    """Exact value of a nonce, or None when the text is not a finite decimal number of at most 100 digits.

    Accepted: optional sign, fraction, exponent as JSON writes them (`1644315615.24195`, `1e+22`). An exponent
    counts as so many digits, so `1e400` is refused. Refused too: nan, infinities, hex, underscores, white
    space, digits outside ASCII.
    """
    return _parse_short(text) if len(text) <= _MAX_TEXT else None


# A nonce is looked at several times on its way into the store.
@lru_cache(maxsize=1024)
def _parse_short(text: str) -> Decimal | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = len(match["mantissa"].replace(".", "")) + abs(int(match["exponent"] or 0))
    return Decimal(text) if digits <= MAX_DIGITS else None


def is_greater(given: str, stored: str) -> bool | None:
    """Is nonce `given` strictly greater than `stored`? None when either is not a nonce.

    Compared exactly: 2^53 and above, and fractions, keep every digit.
    """
    given_value, stored_value = parse_nonce(given), parse_nonce(stored)
    if given_value is None or stored_value is None:
        return None
    return given_value > stored_value
