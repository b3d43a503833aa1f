"""The nonce rule by itself: what is remembered of an address, and which use it allows."""

import pytest

from provider.auth.nonce_order import sortable
from provider.auth.nonce_rule import (
    MAX_MESSAGES,
    MAX_RECENT,
    NOTHING,
    Held,
    NonceUse,
    decide,
    imported,
    may_be_free,
    with_unknown_past,
    without_messages,
)
from provider.auth.nonce_window import clock_nonce, kind_of
from provider.auth.signed_text import OpenText

MS = 1_700_000_000_000
WINDOW_MS = 600_000
LARGE, LARGER = "1" * 41, "2" * 41
YEAR = 366 * 86_400


def after(*nonces: int | str, held: Held = NOTHING) -> Held:
    """Use nonces that must all be allowed."""
    for nonce in nonces:
        used = decide(held, NonceUse("0x", str(nonce)))
        assert used is not None, nonce
        held = used
    return held


def allows(held: Held, nonce: int | str, **more: object) -> bool:
    return decide(held, NonceUse("0x", str(nonce), **more)) is not None  # type: ignore[arg-type]


def text(digest: str, highest: int | None = None, *, may_begin: bool = True) -> OpenText:
    return OpenText(digest, "" if highest is None else sortable(str(highest)), may_begin)


@pytest.mark.parametrize(
    ("used", "nonce", "allowed"),
    [
        ((), 0, True),
        ((7,), 7, False),
        ((7,), 6, False),
        ((7,), 8, True),
        ((7,), MS, True),
        ((MS,), 8, False),
        ((1_600_000_000,), 1_599_999_999, False),
        ((MS,), MS, False),
        ((MS,), MS - 1, True),
        ((MS,), MS - WINDOW_MS, True),
        ((MS,), MS - WINDOW_MS - 1, False),
        ((MS, MS - 5), MS - 5, False),
        ((MS, MS - 5), MS - 4, True),
        ((MS, MS + 5), MS, False),
        ((MS, MS + 5), MS - 1, True),
        ((MS, MS + WINDOW_MS), MS, False),
        ((MS, MS + WINDOW_MS + 1), MS, False),
        ((MS, MS + WINDOW_MS + 1), MS + 1, True),
        ((MS,), MS * 1000, True),
        ((MS * 1000,), MS, False),
        ((MS, MS * 1000), MS * 1000 - 1, True),
        ((LARGE,), 1, True),
        ((LARGE,), LARGE, False),
        ((LARGE,), LARGER, True),
        ((LARGER,), LARGE, False),
        ((MS,), LARGE, True),
    ],
)
def test_which_nonces_are_free(used: tuple[int | str, ...], nonce: int | str, allowed: bool) -> None:
    assert allows(after(*used), nonce) is allowed


def test_of_an_unknown_past_no_lower_nonce_is_free() -> None:
    held = decide(NOTHING, NonceUse("0x", str(MS), unknown_past=True))
    assert held == with_unknown_past(str(MS))
    assert not allows(held, MS - 1)
    assert allows(held, MS + 1)


def test_what_is_remembered_is_bounded_and_nothing_is_free_twice() -> None:
    nonces = [MS - step for step in range(0, 2000, 10)]
    held = after(*nonces[:1])
    for nonce in nonces[1:]:
        held = decide(held, NonceUse("0x", str(nonce))) or held
        assert len(held.recent) <= MAX_RECENT
    assert held.floor in {sortable(str(nonce)) for nonce in nonces}
    assert not any(allows(held, nonce) for nonce in nonces)
    assert allows(held, MS - 5)


@pytest.mark.parametrize(
    ("held", "nonce", "shown"),
    [
        (after(7), "7", "7"),
        (after(LARGE), "7", LARGE),
        (after(LARGE), LARGE, LARGE),
        (after(LARGE, 7), "7", "7"),
        (after(LARGE, 7), LARGE, LARGE),
        (after(7), LARGE, "7"),
    ],
)
def test_a_refusal_names_the_nonce_of_the_same_order(held: Held, nonce: str, shown: str) -> None:
    assert held.shown_to(nonce) == shown


def test_clients_count_on_from_the_greatest_that_is_not_large() -> None:
    assert (NOTHING.shown, after(LARGE).shown, after(LARGE, 7).shown) == ("", LARGE, "7")


def test_an_open_text_is_used_once_and_with_the_kind_of_the_greatest_nonce() -> None:
    first = decide(NOTHING, NonceUse("0x", "7", text("aa", 90)))
    assert first is not None
    assert not allows(first, 90, text=text("aa", 90))
    assert allows(first, 90, text=text("bb", 90))
    assert allows(first, MS, text=text("bb"))
    assert not allows(first, MS, text=text("bb", may_begin=False))
    assert not allows(first, LARGE, text=text("bb", may_begin=False))
    assert not allows(NOTHING, LARGE, text=text("aa", may_begin=False))
    assert not allows(NOTHING, MS, text=text("aa", may_begin=False))
    assert not allows(after(MS), 1_700_000_000_000_000, text=text("aa"))
    large = after(LARGE)
    assert allows(large, LARGER, text=text("aa", may_begin=False))
    assert not allows(large, LARGER + "2", text=text("aa", may_begin=False))
    assert not allows(large, 7, text=text("aa"))


def test_after_an_open_text_with_a_large_nonce_no_other_kind_is_read_from_one() -> None:
    held = decide(after(LARGE), NonceUse("0x", LARGER, text("aa", may_begin=False)))
    assert held is not None
    assert held.marks == "l"
    assert not allows(held, LARGER)
    again = decide(held, NonceUse("0x", "3" * 41, text("bb", may_begin=False)))
    assert again is not None
    assert (again.large, again.marks) == ("3" * 41, "l")
    held = after(7, held=held)
    assert not allows(held, 8, text=text("bb", 8))
    assert allows(held, 8)


def test_a_forgotten_text_is_refused_by_the_greatest_counter() -> None:
    held = after(1)
    count = 0
    while count == 0 or " d0:" in held.messages:
        use = NonceUse("0x", str(2 + count), text(f"d{count}", 5000 if count == 0 else 2 + count))
        held = decide(held, use) or held
        count += 1
        assert len(held.messages) <= MAX_MESSAGES
    assert held.nonce == "5000"
    assert not allows(held, 5000, text=text("d0", 5000))
    assert without_messages(held).messages == ""


@pytest.mark.parametrize("greatest", [100, MS])
def test_a_forgotten_text_never_lowers_the_greatest_nonce(greatest: int) -> None:
    first = decide(NOTHING, NonceUse("0x", "7", text("aa", 9)))
    assert first is not None
    held = without_messages(after(greatest, held=first))
    assert (held.nonce, held.order, held.messages) == (str(greatest), sortable(str(greatest)), "")


@pytest.mark.parametrize("nonce", ["7", "1700000000", str(MS), str(MS * 10**6)])
def test_an_earlier_version_is_believed_about_counters_and_clock_values_of_its_time(nonce: str) -> None:
    assert imported(nonce, now=MS / 1000) is None
    assert imported(nonce, now=MS / 1000 - YEAR + 1) is None


def test_an_address_whose_nonce_may_be_misread_goes_on_with_the_clock() -> None:
    now = MS / 1000
    future = str(MS + YEAR * 1000)
    assert imported(future, now=now) == with_unknown_past(str(MS))._replace(marks="p")
    held = imported(LARGE, now=now)
    assert held == with_unknown_past(str(MS))._replace(large=LARGE, marks="p")
    assert allows(held, MS + 1)
    assert not allows(held, MS)
    assert allows(held, LARGER)
    assert not allows(held, LARGE)
    # Nobody used the placeholder: large nonces may still be read from open texts, until a clock value was used.
    assert allows(held, LARGER, text=text("aa", may_begin=False))
    settled = after(MS + 1, held=held)
    assert settled.marks == ""
    assert not allows(settled, LARGER, text=text("aa", may_begin=False))


@pytest.mark.parametrize(
    ("nonce", "shown", "free"),
    [
        ("8", "7", True),
        ("7", "7", False),
        ("7", LARGE, True),
        (str(MS - WINDOW_MS), str(MS), True),
        (str(MS - WINDOW_MS - 1), str(MS), False),
        ("1600000000", "1600000001", False),
    ],
)
def test_a_contract_is_asked_only_if_the_nonce_may_be_free(nonce: str, shown: str, free: bool) -> None:
    assert may_be_free(nonce, shown) is free


@pytest.mark.parametrize("kind", ["10", "13", "16", "19"])
def test_the_clock_of_each_kind(kind: str) -> None:
    nonce = clock_nonce(1_700_000_000.5, kind)
    assert kind_of(sortable(nonce)) == kind
    assert nonce == {"10": "1700000000", "13": "1700000000500"}.get(kind, nonce)


@pytest.mark.parametrize("kind", ["", "c", "f41"])
def test_kinds_without_a_clock_are_told_in_milliseconds(kind: str) -> None:
    assert clock_nonce(1_700_000_000.5, kind) == "1700000000500"
