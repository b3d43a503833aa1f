"""Clock values as nonces (pure): what kind of number a nonce is, and how old one may be (RFC 6479).

Clients that take nonces from a clock may send several requests at once, and the later one may arrive first. So a nonce
below the greatest passes when it is young enough, measured against the greatest and not against our clock. The kind
follows from the size of the number. The ranges never move, so a number has the same kind on every day.
"""

from decimal import Context, Decimal

from provider.auth.nonce import MAX_DIGITS, parse_nonce
from provider.auth.nonce_order import sortable, sortable_value
from provider.wire.text import digits

WINDOW_SECONDS = 600

COUNTER = "c"
# Every counter is less.
FIRST_SECONDS = 1_500_000_000
# Units per second, by the number of integer digits that such a clock shows between July 2017 and December 2099.
# Ocean's contracts are younger, and one digit more or fewer never gives a clock value of the same unit.
_UNITS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}
CLOCK_DIGITS = tuple(_UNITS)
_FIRST_DIGITS, _END_DIGITS = "15", "41"
_CLOCKS = {f"1{size:03}": str(size) for size in _UNITS}
_FIRST_SECONDS_ORDER = sortable(str(FIRST_SECONDS))
# Clients that send whole seconds count up from the last nonce; the finer units are read from clocks.
_WINDOWED = frozenset({"13", "16", "19"})
# Nonces have up to 100 digits before and after the point, and the default context would round them to 28.
_EXACT = Context(prec=2 * MAX_DIGITS + 10)


def kind_of(order: str) -> str:
    """Kind of a nonce by its text from `nonce_order.sortable`.

    `c` for counters (below 1.5·10^9, also negative ones), the number of digits for clock values (`10`, `13`, `16`,
    `19`), and `f` with the number of digits for everything else.
    """
    kind = _CLOCKS.get(order[:4])
    first_digits = order[4:6]
    if kind is not None and _FIRST_DIGITS <= first_digits < _END_DIGITS:
        return kind
    if order < _FIRST_SECONDS_ORDER:
        # They go on into seconds without a gap, where nobody would count on.
        return COUNTER
    return f"f{int(order[1:4])}"


def is_large(kind: str) -> bool:
    """Is it the kind of a number that is neither a counter nor a clock value?"""
    return kind[0] == "f"


def has_window(kind: str) -> bool:
    """May nonces of this kind be used out of order?"""
    return kind in _WINDOWED


def oldest_order(nonce: str, kind: str) -> str:
    """`sortable` of the lowest nonce that may be used while `nonce` is the greatest; `kind` has a window."""
    units = WINDOW_SECONDS * _UNITS[int(kind)]
    whole = digits(nonce)
    if whole is not None:
        # No clock of these years loses a digit in ten minutes.
        return f"10{kind}{whole - units}"
    value = parse_nonce(nonce)
    if value is None:
        raise ValueError("not a nonce")
    return sortable_value(_EXACT.subtract(value, Decimal(units)))


def seconds_of(nonce: str, kind: str) -> float | None:
    """Unix seconds of a clock value; None for other kinds."""
    value = parse_nonce(nonce)
    length = digits(kind)
    if value is None or length is None:
        return None
    return float(value) / _UNITS[length]


def clock_nonce(seconds: float, kind: str) -> str:
    """The clock value of a kind at a time in unix seconds; of other kinds the one in milliseconds."""
    length = digits(kind)
    units = 1000 if length is None else _UNITS[length]
    return str(int(seconds * units))
