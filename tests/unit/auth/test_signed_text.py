"""A text of the old family, split in every way that any pair of routes allows: accepted once, locks nobody out.

An attacker who holds everything that an address signed plays against its clients.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.auth import messages
from provider.auth.nonce import parse_nonce
from provider.auth.nonce_rule import MAX_MESSAGES, NOTHING, Held, NonceUse, decide, with_unknown_past
from provider.auth.signed_text import Misread, OpenText, read_text

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
TX = "0x" + "a1" * 31 + "37"
NOW = 1_795_000_000.0
DAY = 86_400.0
CHAINS = (1, 10, 13, 137, 1371, 8996)
NODE = messages.node_id(NFT)


@dataclass(frozen=True)
class Signed:
    """A signed text, with the nonce that the client meant."""

    text: str
    nonce: str


def readings(text: str) -> Iterator[tuple[str, str]]:
    """Route and nonce of every request whose signature this text would be, on any route and chain."""
    for cut in range(1, len(text)):
        head, nonce = text[:cut], text[cut:]
        if parse_nonce(nonce) is not None:
            yield from ((route, nonce) for route in routes(head, nonce, text))


def routes(head: str, nonce: str, text: str) -> Iterator[str]:
    if text in messages.download(document_id=head, consumer=ADDRESS, nonce=nonce):
        yield "download"
    at = head.rfind(ADDRESS)
    if at > 0:
        named, chain = head[:at], head[at + len(ADDRESS) :]
        asked = messages.decrypt(transaction_id=named, data_nft=NFT, decrypter=ADDRESS, chain_id=chain, nonce=nonce)
        if chain in map(str, CHAINS) and text in asked:
            yield "decrypt"
    if not head.startswith(ADDRESS):
        return
    rest = head[len(ADDRESS) :]
    if text in messages.create_auth_token(address=ADDRESS, nonce=nonce, node=NODE):
        yield "createAuthToken"
    if text in messages.invalidate_token(address=ADDRESS, nonce=nonce):
        yield "deleteAuthToken"
    if text in messages.start_compute(consumer=ADDRESS, job_id="", dataset_did=rest, nonce=nonce):
        yield "start"
    if text in messages.stop_compute(consumer=ADDRESS, job_id=rest, document_id="", nonce=nonce):
        yield "stop"
    if text in messages.delete_compute(consumer=ADDRESS, job_id=rest, document_id="", nonce=nonce):
        yield "delete"
    index = re.search(r"[0-9]+$", rest)
    if index and len(rest) > 1:
        yield "computeResult"


def test_the_attacker_finds_the_readings_of_the_findings() -> None:
    result = f"{ADDRESS}77121795000000000"
    assert {("computeResult", "1795000000000"), ("computeResult", "21795000000000")} <= set(readings(result))
    assert ("createAuthToken", "77121795000000000") in readings(result)
    decrypt = f"{NFT}{ADDRESS}1371795000000000000000"
    assert {
        ("decrypt", "1795000000000000000"),
        ("decrypt", "371795000000000000000"),
    } <= set(readings(decrypt))


@dataclass
class Account:
    """One address at one Provider, and everything that it ever signed."""

    held: Held = NOTHING
    now: float = NOW
    signed: list[Signed] = field(default_factory=list)
    served: set[str] = field(default_factory=set)

    def present(self, text: str, nonce: str) -> bool:
        """Would the text be accepted with this nonce? It must not have been accepted before."""
        try:
            open_text = read_text(text, nonce, now=self.now)
        except Misread:
            return False
        after = decide(self.held, NonceUse(ADDRESS, nonce, open_text))
        if after is None:
            return False
        assert text not in self.served, f"accepted twice: {text}"
        self.served.add(text)
        self.held = after
        return True

    def next_nonce(self, style: str) -> str:
        """Choose a nonce as clients do: from a clock, or one above the last one that they were told."""
        if style == "+1":
            return str(int(parse_nonce(self.held.shown or "1") or 0) + 1)
        self.now += 0.002
        return str(int(self.now * {"ms": 10**3, "us": 10**6, "ns": 10**9}[style]))


DIGITS = st.text("0123456789", min_size=1, max_size=14)
TAILS = st.one_of(st.just("a"), DIGITS.map("a{}".format), st.sampled_from(["a179", "a1795", "a179500", "a1000"]))
JOBS = st.one_of(TAILS.map(("0e" * 16).__add__), DIGITS, st.just("179500"))
DIDS = TAILS.map(lambda tail: "did:op:" + ("0e" * 32 + tail)[-64:])
INDEX = st.integers(0, 200).map(str)
CHAIN = st.sampled_from(CHAINS).map(str)
HEADS = st.one_of(
    DIDS,
    DIDS.map(ADDRESS.__add__),
    st.builds(lambda job, did: ADDRESS + job + did, JOBS, DIDS),
    JOBS.map(ADDRESS.__add__),
    st.builds(lambda job, index: ADDRESS + job + index, JOBS, INDEX),
    st.builds(lambda job, index: ADDRESS + job + index, JOBS, INDEX),
    st.just(ADDRESS),
    st.builds(lambda named, chain: named + ADDRESS + chain, st.sampled_from([TX, NFT]), CHAIN),
)
FIRST_ATTACK = st.none() | st.none() | st.integers(0, 50)
STEPS = st.lists(
    st.tuples(HEADS, FIRST_ATTACK, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=6)),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("style", ["+1", "ms", "us", "ns"])
@given(steps=STEPS, pauses=st.lists(st.sampled_from([0.0, 1.0, 700.0, 3 * DAY]), min_size=12, max_size=12))
@settings(max_examples=100)
def test_each_text_is_accepted_once_and_its_client_is_never_locked_out(
    style: str, steps: list[tuple[str, int | None, list[tuple[int, int]]]], pauses: list[float]
) -> None:
    account = Account()
    for (head, stolen_first, attacks), pause in zip(steps, pauses, strict=False):
        account.now += pause
        nonce = account.next_nonce(style)
        signed = Signed(head + nonce, nonce)
        account.signed.append(signed)
        if stolen_first is not None:
            # The attacker is faster than the client, with a reading of its choice.
            found = list(readings(signed.text))
            account.present(signed.text, found[stolen_first % len(found)][1])
        if signed.text not in account.served:
            assert account.present(signed.text, signed.nonce), "the client is locked out"
        for which, reading in attacks:
            stolen = account.signed[which % len(account.signed)]
            found = list(readings(stolen.text))
            account.present(stolen.text, found[reading % len(found)][1])
    for stolen in account.signed:
        for _, nonce in readings(stolen.text):
            account.present(stolen.text, nonce)


@pytest.mark.parametrize("seed", range(5))
def test_a_forgotten_text_is_not_accepted_again(seed: int) -> None:
    """More results than digests are remembered, with the numbers that clients count up."""
    chance = random.Random(seed)
    account = Account()
    for _ in range(100):
        job = "0e" * 15 + chance.choice(["a", "7", "42", "9137"])
        nonce = account.next_nonce("+1")
        signed = Signed(f"{ADDRESS}{job}{chance.randrange(120)}{nonce}", nonce)
        account.signed.append(signed)
        assert account.present(signed.text, nonce)
        stolen = chance.choice(account.signed)
        for _, reading in readings(stolen.text):
            account.present(stolen.text, reading)
    assert len(account.held.messages) <= MAX_MESSAGES < 27 * len(account.signed)
    for signed in account.signed:
        for _, reading in readings(signed.text):
            account.present(signed.text, reading)


def test_from_a_counter_an_open_text_may_go_on_with_the_time_of_now_only() -> None:
    account = Account(held=with_unknown_past("5"))
    for nonce in ("1001795000000000", "1700000000000", "1795200000000", "21795000000000"):
        assert not account.present(f"{ADDRESS}{nonce}", nonce)
    assert account.present(f"{ADDRESS}1795000000000", "1795000000000")


@pytest.mark.parametrize(
    "nonce", ["1" * 41, "1e22", "21795000000000", "+5", "-5", "1795123456789", "1795000001.1234567891"]
)
def test_an_address_does_not_begin_with_a_nonce_that_no_client_takes(nonce: str) -> None:
    assert not Account().present(f"{ADDRESS}{nonce}", nonce)


def test_an_address_that_always_used_large_nonces_goes_on() -> None:
    """Old ocean.js makes 41 digits. Behind a DID they are fixed, so such an address can begin."""
    account, did = Account(), "did:op:" + "0e" * 32
    first, second = "1" * 41, "1" * 40 + "2"
    assert account.present(f"{did}{first}", first)
    assert account.present(f"{ADDRESS}{second}", second)
    shifted = "12" + second
    assert not account.present(f"{ADDRESS}j12{second}", shifted)


@pytest.mark.parametrize(
    ("text", "nonce"),
    [
        (f"{ADDRESS}7download", "7"),
        (f"{ADDRESS}7createAuthToken{NODE}", "7"),
        ("did:op:" + "0e" * 32 + "7", "7"),
        (f"{ADDRESS}job" + "did:ope:" + "0e" * 32 + "1e22", "1e22"),
    ],
)
def test_texts_whose_bytes_fix_the_nonce_need_no_digest(text: str, nonce: str) -> None:
    assert read_text(text, nonce, now=NOW) is None


def test_behind_a_did_only_the_whole_nonce_is_one() -> None:
    with pytest.raises(Misread):
        read_text("did:op:" + "0e" * 31 + "37" + "1795000000000", "71795000000000", now=NOW)


@pytest.mark.parametrize(
    ("tail", "highest"),
    [
        ("j125", "1003125"),
        ("j1.25", "100225"),
        ("j4.5", "10015"),
        ("99999999995", "1009999999995"),
        ("j13999999995", "1009999999995"),
    ],
)
def test_highest_counter_of_a_text(tail: str, highest: str) -> None:
    found = read_text(f"{ADDRESS}x{tail}", "5", now=NOW)
    assert isinstance(found, OpenText)
    assert found.highest == highest


@pytest.mark.parametrize(("head", "nonce"), [("179500", "1795000000002"), ("179", "1795000000002")])
def test_digits_of_today_in_front_of_milliseconds_do_not_begin_another_clock(head: str, nonce: str) -> None:
    account = Account()
    assert not account.present(f"{ADDRESS}{head}{nonce}", head + nonce)
    assert account.present(f"{ADDRESS}{head}{nonce}", nonce)
    assert Account().present(f"{ADDRESS}1795123456789012345", "1795123456789012345") is False
    assert Account(now=1_795_123_456.0).present(f"{ADDRESS}1795123456789012345", "1795123456789012345")
