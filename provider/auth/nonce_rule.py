"""The nonce rule (pure): what is remembered of an address, and whether one more use is allowed.

`redis_scripts.py` is the same rule for Redis, on the same texts. `docs/authentication.md` explains it.
"""

from typing import NamedTuple

from provider.auth.nonce_order import sortable
from provider.auth.nonce_window import (
    COUNTER,
    clock_nonce,
    has_window,
    is_large,
    kind_of,
    oldest_order,
    seconds_of,
)
from provider.auth.signed_text import OpenText

# Most characters remembered of one address: about 110 nonces in milliseconds, and 60 digests.
MAX_RECENT = 2048
MAX_MESSAGES = 2048


class NonceUse(NamedTuple):
    """One nonce (valid decimal text) of a checksummed address.

    `text`: the signed text, if it does not determine the nonce; else None. `unknown_past`: it is unknown which lower
    nonces were used, so none of them is free.
    """

    address: str
    nonce: str
    text: OpenText | None = None
    unknown_past: bool = False


class Held(NamedTuple):
    """The memory of an address. All fields are texts, so that every store can keep and compare them.

    `nonce`: the greatest counter or clock value as sent; empty if there is none. `order`: the same, as `sortable`.
    `floor`: no nonce up to this one may be used (`sortable`). `recent`: the used nonces between the floor and the
    greatest, rising, each as a space and its `sortable`. `messages`: open texts, the oldest first, each as
    ` digest:highest`, where `highest` is the greatest counter it can be read with. `large`: the greatest nonce that is
    neither a counter nor a clock value, as sent. `marks`: `p` while `nonce` is a placeholder that nobody used; `l` once
    an open text was used with a large nonce.
    """

    nonce: str = ""
    order: str = ""
    floor: str = ""
    recent: str = ""
    messages: str = ""
    large: str = ""
    marks: str = ""

    @property
    def shown(self) -> str:
        """The nonce that `GET nonce` shows."""
        return self.nonce or self.large

    def shown_to(self, nonce: str) -> str:
        """Return the stored nonce that a refusal of `nonce` names."""
        return self.large if self.large and is_large(kind_of(sortable(nonce))) else self.shown


_YEAR_SECONDS = 366 * 86_400
NOTHING = Held()


def with_unknown_past(nonce: str) -> Held:
    """Return what to remember if only the greatest counter or clock value is known: no lower nonce is free."""
    order = sortable(nonce)
    return Held(nonce, order, order)


def imported(nonce: str, *, now: float) -> Held | None:
    """Return what to remember of an address whose greatest nonce an earlier version stored; None for the nonce alone.

    That version could read a signed text with a wrong nonce. If the nonce is larger than any clock shows within a year
    of `now` (unix seconds), the address may go on with clock values above `now`, and with large nonces above this one.
    """
    kind = kind_of(sortable(nonce))
    seconds = seconds_of(nonce, kind)
    if not is_large(kind) and (seconds is None or seconds < now + _YEAR_SECONDS):
        return None
    placeholder = with_unknown_past(clock_nonce(now, ""))
    return placeholder._replace(large=nonce if is_large(kind) else "", marks="p")


def without_messages(held: Held) -> Held:
    """Forget all signed texts. The greatest counter that any of them can be read with is used up instead."""
    while held.messages:
        held = _forget_first(held)
    return held


def may_be_free(nonce: str, shown: str) -> bool:
    """Could `decide` allow `nonce` to an address with the last nonce `shown`? If not, no contract need be asked."""
    order, held = sortable(nonce), sortable(shown)
    kind = kind_of(held)
    return order > held or is_large(kind) or (has_window(kind) and order >= oldest_order(shown, kind))


def decide(held: Held, use: NonceUse) -> Held | None:
    """Return what is remembered after the use; None if it is refused."""
    order = sortable(use.nonce)
    kind = kind_of(order)
    if use.text is not None and not _may_be_read(held, kind, use.text):
        return None
    if is_large(kind):
        return _use_large(held, use, order)
    if not held.order or order > held.order:
        after: Held | None = _rise(held, use, order, kind)
    elif kind == kind_of(held.order) and has_window(kind):
        after = _fill(held, order, oldest_order(held.nonce, kind))
    else:
        return None
    return after if after is None or use.text is None else _remember(after, use.text)


def _may_be_read(held: Held, kind: str, text: OpenText) -> bool:
    """May this text be read with a nonce of this kind?

    A text may be used once, and only with the kind of the greatest nonce. The one exception is a change from counters
    to the current time.
    """
    if f" {text.digest}:" in held.messages:
        return False
    is_settled = bool(held.order) and "p" not in held.marks
    if is_large(kind):
        return not is_settled and bool(held.large) and kind == kind_of(sortable(held.large))
    if is_settled:
        held_kind = kind_of(held.order)
        return "l" not in held.marks and (kind == held_kind or (held_kind == COUNTER and text.may_begin))
    return not held.large and not held.order and text.may_begin


def _use_large(held: Held, use: NonceUse, order: str) -> Held | None:
    if held.large and order <= sortable(held.large):
        return None
    if use.text is None:
        return held._replace(large=use.nonce)
    return _remember(held._replace(large=use.nonce, marks=held.marks.replace("l", "") + "l"), use.text)


def _rise(held: Held, use: NonceUse, order: str, kind: str) -> Held:
    floor, recent = held.order, ""
    if use.unknown_past:
        floor = order
    elif has_window(kind) and kind == kind_of(held.order or order):
        used = f"{held.recent} {held.order}" if held.order else ""
        floor, recent = _bounded(held.floor, _young(used, oldest_order(use.nonce, kind)))
    return Held(use.nonce, order, floor, recent, held.messages, held.large, held.marks.replace("p", ""))


def _fill(held: Held, order: str, oldest: str) -> Held | None:
    if order < oldest or order <= held.floor or order == held.order or f" {order} " in f"{held.recent} ":
        return None
    recent = "".join(f" {each}" for each in sorted([*held.recent.split(), order]))
    floor, recent = _bounded(held.floor, recent)
    return held._replace(floor=floor, recent=recent)


def _young(recent: str, oldest: str) -> str:
    """Remove the nonces that are too old to be free anyway."""
    # The space after the first nonce sorts below every digit, so the texts compare as their first nonces do.
    bound = f" {oldest}"
    while recent and recent < bound:
        recent = _without_first(recent)
    return recent


def _bounded(floor: str, recent: str) -> tuple[str, str]:
    """If too many nonces are remembered, forget the lowest ones and raise the floor to them."""
    while len(recent) > MAX_RECENT:
        floor = recent[1:].partition(" ")[0]
        recent = _without_first(recent)
    return floor, recent


def _without_first(items: str) -> str:
    return items[cut:] if (cut := items.find(" ", 1)) > 0 else ""


def _remember(held: Held, text: OpenText) -> Held:
    held = held._replace(messages=f"{held.messages} {text.digest}:{text.highest}")
    while len(held.messages) > MAX_MESSAGES:
        held = _forget_first(held)
    return held


def _forget_first(held: Held) -> Held:
    """Forget the oldest text. Its digest no longer refuses it, so the greatest counter is raised to refuse it."""
    highest = held.messages[1:].partition(" ")[0].partition(":")[2]
    held = held._replace(messages=_without_first(held.messages))
    if highest > held.order and held.order and kind_of(held.order) == COUNTER:
        held = held._replace(nonce=highest[4:] or "0", order=highest)
    return held
