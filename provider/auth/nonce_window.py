"""Clock values as nonces (pure): what kind of number a nonce is, and how old it may be (RFC 6479).

Clients that take nonces from a clock may send several requests at once, and the later one may arrive first. So a nonce
below the greatest one is allowed if it is at most ten minutes older. Its age is measured against the greatest nonce,
not against our clock. The size of the number determines its kind, by fixed ranges: a number always has the same kind.
"""

from decimal import Context, Decimal

from provider.auth.nonce import MAX_DIGITS, parse_nonce
from provider.auth.nonce_order import sortable, sortable_value
from provider.wire.text import digits

WINDOW_SECONDS = 600

COUNTER = "c"
# The least clock value in seconds. Every counter is less.
FIRST_SECONDS = 1_500_000_000
# Units per second, by the number of integer digits that such a clock shows between July 2017 and December 2099.
# Ocean's contracts are younger. A number with one digit more or fewer is never a clock value of the same unit.
_UNITS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}
CLOCK_DIGITS = tuple(_UNITS)
_FIRST_DIGITS, _END_DIGITS = "15", "41"
_CLOCKS = {f"1{size:03}": str(size) for size in _UNITS}
_FIRST_SECONDS_ORDER = sortable(str(FIRST_SECONDS))
# Only the finer units have a window: they are read from clocks. Clients that send seconds count up from the last nonce.
_WINDOWED = frozenset({"13", "16", "19"})
# Nonces have up to 100 digits before and after the point. The default context would round them to 28 digits.
_EXACT = Context(prec=2 * MAX_DIGITS + 10)


def kind_of(order: str) -> str:
    """Return the kind of a nonce. `order`: its `nonce_order.sortable`.

    `c` is a counter (below 1.5·10^9, or negative). `10`, `13`, `16` and `19` are clock values, by their number of
    digits. Everything else is `f` with the number of digits.
    """
    kind = _CLOCKS.get(order[:4])
    first_digits = order[4:6]
    if kind is not None and _FIRST_DIGITS <= first_digits < _END_DIGITS:
        return kind
    if order < _FIRST_SECONDS_ORDER:
        # A counter that reached this value would become a clock value in seconds. No counter gets that far.
        return COUNTER
    return f"f{int(order[1:4])}"


def is_large(kind: str) -> bool:
    """Is this the kind of numbers that are neither counters nor clock values?"""
    return kind[0] == "f"


def has_window(kind: str) -> bool:
    """May nonces of this kind be used out of order?"""
    return kind in _WINDOWED


def oldest_order(nonce: str, kind: str) -> str:
    """Return `sortable` of the lowest free nonce while `nonce` is the greatest. `kind`: of the nonce; has a window."""
    units = WINDOW_SECONDS * _UNITS[int(kind)]
    whole = digits(nonce)
    if whole is not None:
        # No clock value between 2017 and 2099 loses a digit if ten minutes are subtracted.
        return f"10{kind}{whole - units}"
    value = parse_nonce(nonce)
    if value is None:
        raise ValueError("not a nonce")
    return sortable_value(_EXACT.subtract(value, Decimal(units)))


def seconds_of(nonce: str, kind: str) -> float | None:
    """Return the unix seconds of a clock value; None for other kinds."""
    value = parse_nonce(nonce)
    length = digits(kind)
    if value is None or length is None:
        return None
    return float(value) / _UNITS[length]


def clock_nonce(seconds: float, kind: str) -> str:
    """Return the clock value of this kind at a time in unix seconds. Kinds without a clock give milliseconds."""
    length = digits(kind)
    units = 1000 if length is None else _UNITS[length]
    return str(int(seconds * units))
