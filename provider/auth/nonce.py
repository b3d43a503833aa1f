"""Nonces as exact decimals (pure).

`nonce_store.py` defines how nonces are stored and compared atomically.
"""

import re
from decimal import Decimal, getcontext
from functools import lru_cache

# Old ocean.js makes 41-digit nonces and clocks give 19; 100 leaves room and keeps every comparison cheap.
MAX_DIGITS = 100

# All tasks inherit this one. Else each would make a context of its own, of 460 bytes, and keep it.
getcontext()

_NUMBER = re.compile(r"[+-]?(?P<mantissa>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?", re.ASCII)
# Sign, point and an exponent of five characters come on top of the digits.
_MAX_TEXT = MAX_DIGITS + 7


def parse_nonce(text: str) -> Decimal | None:
    """Return the exact value of a nonce, or None if the text is not a finite decimal number of at most 100 digits.

    Accepted: an optional sign, a fraction, and an exponent as in JSON (`1644315615.24195`, `1e+22`). The value of the
    exponent counts as that many digits, so `1e400` is refused. Also refused: nan, infinities, hex, underscores, white
    space, and digits outside ASCII.
    """
    return _parse_short(text) if len(text) <= _MAX_TEXT else None


# The same nonce is parsed several times on its way into the store. More entries would keep parts of the heap from going
# back to the system after many streams.
@lru_cache(maxsize=64)
def _parse_short(text: str) -> Decimal | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = len(match["mantissa"].replace(".", "")) + abs(int(match["exponent"] or 0))
    return Decimal(text) if digits <= MAX_DIGITS else None


def is_greater(given: str, stored: str) -> bool | None:
    """Is nonce `given` strictly greater than `stored`? None if either is not a nonce.

    The comparison is exact: numbers above 2^53 and fractions keep every digit.
    """
    given_value, stored_value = parse_nonce(given), parse_nonce(stored)
    if given_value is None or stored_value is None:
        return None
    return given_value > stored_value
