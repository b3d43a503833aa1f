"""Nonces that may be used out of order, once each (pure): the anti-replay window of RFC 6479, with clock values.

The pods of one compute environment share an address and take their nonces from clocks at the same time, so the later
one may arrive first. A nonce below the greatest one passes when it is young enough, measured against that greatest one
and not against our clock. Which unit the clock counts in follows from the size of the greatest nonce: seconds,
milliseconds (what pods write), microseconds or nanoseconds, for the years 2001 to 2262. A number outside is no clock
value, and there nonces must rise.
"""

from decimal import Context, Decimal

from provider.auth.nonce import MAX_DIGITS, parse_nonce

# Units per second, by the greatest nonce that counts as a clock value in that unit; a number below the smallest is a
# counter. Between the ranges lies a factor of ten that no clock shows in these years.
_UNITS = (
    (Decimal(10**9), Decimal(10**11), 1),
    (Decimal(10**12), Decimal(10**14), 10**3),
    (Decimal(10**15), Decimal(10**17), 10**6),
    (Decimal(10**18), Decimal(2**63), 10**9),
)
# Nonces have up to 100 digits before and after the point, and the default context would round them to 28.
_EXACT = Context(prec=2 * MAX_DIGITS + 10)
_GREATEST_INTEGER = 2**63 - 1


def oldest_accepted(greatest: str, window_seconds: int) -> Decimal | None:
    """The lowest nonce that may still be used; None when `greatest` is no clock value, so that nonces must rise."""
    value = parse_nonce(greatest)
    if value is None:
        return None
    for lowest, highest, units_per_second in _UNITS:
        if lowest <= value < highest:
            return _EXACT.subtract(value, Decimal(window_seconds * units_per_second))
    return None


def canonical_text(nonce: str) -> str:
    """One nonce for all ways to write the same number: `5`, `5.0` and `+5e0`. Raises ValueError."""
    value = parse_nonce(nonce)
    if value is None:
        raise ValueError("not a nonce")
    return format(_EXACT.normalize(value), "f") if value else "0"


def moment_of(nonce: str) -> int:
    """Whole units of a nonce within 64 bits: what rows that have left the window are found by. Raises ValueError."""
    value = parse_nonce(nonce)
    if value is None:
        raise ValueError("not a nonce")
    return max(-_GREATEST_INTEGER, min(int(value), _GREATEST_INTEGER))
