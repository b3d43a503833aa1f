"""Tokens: their content, and that only this key and this name open them."""

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.compute.results import JobResult
from provider.crypto.accounts import Account
from provider.errors import LinkTooLong, LinkUnknown
from provider.links.token import MAX_PACKED_BYTES, MAX_TOKEN_CHARS, Link, LinkSeal, OrderedFile, link_id

SEAL = LinkSeal(Account.from_hex("11" * 32))
FILE = OrderedFile("did:op:" + "ab" * 32, "cd" * 32, "0x" + "ef" * 32, 3)
LINK = Link(FILE, "0x" + "12" * 20, 1_000, 2_000, 1_000)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times = st.integers(0, 2**40)


@given(
    target=st.one_of(
        st.builds(OrderedFile, text, text, text, times, text, text), st.builds(JobResult, text, text, text)
    ),
    consumer=text,
    issued_at=times,
    expires_at=times,
    lifetime_seconds=times,
    not_after=times,
    token_id=text,
    nonce=text,
    signature=text,
    version=text,
    name=text,
)
def test_a_token_opens_to_what_was_sealed(target: OrderedFile | JobResult, name: str, **fields: object) -> None:
    link = Link(target, **fields)  # type: ignore[arg-type]
    assert SEAL.open(SEAL.seal(link, name), name) == link


def test_a_usual_token_is_short_and_fits_into_a_url() -> None:
    token = SEAL.seal(LINK, "trips.parquet")
    assert len(token) < 300
    assert token.replace("-", "").replace("_", "").isalnum()


@given(st.integers(0, 200), st.sampled_from("ABab01-_=.~ \n"))
def test_a_token_with_another_character_opens_nothing(place: int, character: str) -> None:
    token = SEAL.seal(LINK, "a")
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        with pytest.raises(LinkUnknown):
            SEAL.open(changed, "a")


def test_the_spare_bits_of_base64_make_no_second_token() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for size in range(3):
        token = SEAL.seal(replace(LINK, nonce="9" * size), "a")
        twins = [token[:-1] + character for character in alphabet if character != token[-1]]
        for twin in twins:
            with pytest.raises(LinkUnknown):
                SEAL.open(twin, "a")


@pytest.mark.parametrize("name", ["", "a ", "A", "a.aux.xml", "\ud800"])
def test_a_token_opens_under_its_name_only(name: str) -> None:
    with pytest.raises(LinkUnknown):
        SEAL.open(SEAL.seal(LINK, "a"), name)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(LinkUnknown):
        LinkSeal(Account.from_hex("22" * 32)).open(SEAL.seal(LINK, "a"), "a")


@pytest.mark.parametrize("token", ["", "1", "1" + "A" * 10_000, "1" + "A" * 41, "2" + "A" * 60, "\ud800" * 60])
def test_what_is_no_token_opens_nothing(token: str) -> None:
    with pytest.raises(LinkUnknown):
        SEAL.open(token, "a")


def test_user_data_that_do_not_fit_are_refused() -> None:
    noise = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(1_000))
    with pytest.raises(LinkTooLong):
        SEAL.seal(replace(LINK, target=replace(FILE, userdata=noise)), "a")
    assert len(SEAL.seal(replace(LINK, target=replace(FILE, userdata="x" * 3_000)), "a")) < MAX_TOKEN_CHARS


def test_a_short_token_takes_little_memory_once_it_is_opened() -> None:
    """Opened tokens are kept. A request of 128 KiB may hold user data that compress to nothing."""
    with pytest.raises(LinkTooLong):
        SEAL.seal(replace(LINK, target=replace(FILE, userdata="x" * MAX_PACKED_BYTES)), "a")


def test_the_name_in_logs_does_not_lead_back() -> None:
    token = SEAL.seal(LINK, "a")
    assert link_id(token) not in token
    assert len({link_id(token), link_id(SEAL.seal(LINK, "b"))}) == 2


def test_made_up_tokens_take_no_memory() -> None:
    tokens = [f"1{number:060d}" for number in range(20_000)]

    def open_all() -> None:
        for token in tokens:
            with pytest.raises(LinkUnknown):
                SEAL.open(token, "a")

    open_all()
    tracemalloc.start()
    open_all()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


def test_a_token_that_was_opened_opens_under_no_other_name() -> None:
    token = SEAL.seal(LINK, "trips.parquet")
    assert SEAL.open(token, "trips.parquet") == SEAL.open(token, "trips.parquet") == LINK
    for changed, name in ((token, "trips.csv"), (token[:-1] + ("A" if token[-1] != "A" else "B"), "trips.parquet")):
        with pytest.raises(LinkUnknown):
            SEAL.open(changed, name)
