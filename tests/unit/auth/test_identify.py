"""Identification: signature or token, then the nonce. Which one has priority, what is used up, what is tried first."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak
from tornado.ioloop import IOLoop

from provider.auth import identify, messages
from provider.auth.identify import Identifier, Signed
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.token import PresentedToken
from provider.auth.tokens import Tokens
from provider.crypto.signature import recover_address
from provider.errors import NonceRefused, QuotaExhausted, SignatureInvalid, StoreError, TokenNotAccepted
from provider.observability.metrics.backends import Nonces

KEY = EthAccount.from_key("5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8")
ADDRESS = KEY.address
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
DID = "did:op:" + "0d" * 32
CLOCK = 1_700_000_000_000


class Desk:
    """An Identifier, its parts, and requests as the download endpoint makes them."""

    def __init__(self, store: SqliteNonceStore, **options: Any) -> None:
        self.store = store
        self.now = 1_700_000_000.0
        self.tokens = Tokens(b"k" * 32, store, max_lifetime_seconds=3600, clock=lambda: self.now)
        self.metrics = Nonces()
        self.identifier = Identifier(store, self.tokens, metrics=self.metrics, clock=lambda: self.now, **options)

    async def ask(self, nonce: str, signature: str = "", token: PresentedToken | None = None, **more: Any) -> str:
        address, candidates = more.pop("address", ADDRESS), more.pop("messages", texts(nonce))
        proof = Signed(address, address, nonce, signature, token)
        return await self.identifier.identify(proof, candidates, **more)

    async def token(self, *, needs_nonce: bool, address: str = ADDRESS) -> PresentedToken:
        return PresentedToken(await self.tokens.issue(address, None), needs_nonce)


@pytest.fixture
def store(tmp_path: Path, io_loop: IOLoop) -> Iterator[SqliteNonceStore]:
    opened = SqliteNonceStore(tmp_path / "n.db")
    yield opened
    io_loop.run_sync(opened.close)


@pytest.fixture
def desk(store: SqliteNonceStore) -> Desk:
    return Desk(store)


def texts(nonce: str) -> tuple[str, ...]:
    return messages.download(document_id=DID, consumer=ADDRESS, nonce=nonce)


def signed(text: str) -> str:
    return str(KEY.sign_message(encode_defunct(primitive=keccak(text=text))).signature.hex())


@pytest.mark.gen_test
async def test_both_families_are_accepted_and_share_the_nonce(desk: Desk) -> None:
    assert await desk.ask("7", signed(f"{ADDRESS}7download")) == ADDRESS
    with pytest.raises(NonceRefused):
        await desk.ask("7", signed(f"{DID}7"))
    assert await desk.ask("8", signed(f"{DID}8")) == ADDRESS
    with pytest.raises(NonceRefused):
        await desk.ask("8", signed(f"{ADDRESS}8download"))
    assert desk.metrics.presented.values == {("accepted",): 2, ("refused",): 2, ("failed",): 0}


@pytest.mark.gen_test
async def test_a_proven_address_that_is_refused_before_its_nonce_keeps_it(desk: Desk) -> None:
    async def refuse() -> None:
        raise QuotaExhausted("The quota is used up.", after_seconds=None)

    with pytest.raises(QuotaExhausted):
        await desk.ask("7", signed(f"{ADDRESS}7download"), before_nonce=refuse)
    with pytest.raises(SignatureInvalid):
        await desk.ask("7", signed(f"{ADDRESS}8download"), before_nonce=refuse)
    await desk.ask("7", signed(f"{ADDRESS}7download"))


@pytest.mark.gen_test
async def test_a_store_that_fails_is_counted_and_a_client_that_leaves_is_not(
    desk: Desk, store: SqliteNonceStore
) -> None:
    leaving = asyncio.create_task(desk.ask("7", signed(f"{ADDRESS}7download")))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert desk.metrics.presented.values == {("accepted",): 0, ("refused",): 0, ("failed",): 0}
    await store.close()
    with pytest.raises(StoreError):
        await desk.ask("8", signed(f"{ADDRESS}8download"))
    assert desk.metrics.presented.values == {("accepted",): 0, ("refused",): 0, ("failed",): 1}


@pytest.mark.gen_test
async def test_family_that_a_client_signed_last_is_tried_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    def counted(digest: bytes, signature: bytes) -> str | None:
        tried.append(digest)
        return recover_address(digest, signature)

    monkeypatch.setattr("provider.crypto.signature.recover_address", counted)
    costs = []
    for nonce, text in (
        ("1", f"{ADDRESS}1download"),
        ("2", f"{DID}2"),
        ("3", f"{DID}3"),
        ("4", f"{ADDRESS}4download"),
        ("5", f"{ADDRESS}5download"),
    ):
        await desk.ask(nonce, signed(text))
        costs.append(len(tried))
        tried.clear()
    assert costs == [1, 2, 1, 2, 1]


@pytest.mark.gen_test
async def test_what_is_remembered_of_clients_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "_MAX_REMEMBERED", 3)
    for number in range(1, 9):
        account = EthAccount.from_key(bytes(31) + bytes([number]))
        text = f"{DID}7"
        signature = account.sign_message(encode_defunct(primitive=keccak(text=text))).signature.hex()
        options = {"address": account.address, "messages": ("other", text)}
        assert await desk.ask("7", signature, **options) == account.address
    assert len(desk.identifier._likeliest) <= 3


@pytest.mark.gen_test
async def test_signature_always_wins_over_a_token(desk: Desk) -> None:
    token = await desk.token(needs_nonce=False)
    with pytest.raises(SignatureInvalid):
        await desk.ask("7", signed("another text"), token)
    bad = PresentedToken("nonsense", needs_nonce=True)
    assert await desk.ask("7", signed(f"{DID}7"), bad) == ADDRESS


@pytest.mark.parametrize("needs_nonce", [True, False])
@pytest.mark.gen_test
async def test_nonce_of_a_token_is_checked_and_stored(desk: Desk, needs_nonce: bool) -> None:
    token = await desk.token(needs_nonce=needs_nonce)
    assert await desk.ask("7", "", token) == ADDRESS
    for nonce in ("7", "6"):
        with pytest.raises(NonceRefused):
            await desk.ask(nonce, "", token)
    assert await desk.store.last(ADDRESS) == "7"


@pytest.mark.gen_test
async def test_nonce_may_be_left_out_with_the_newer_header_only(desk: Desk) -> None:
    bearer = await desk.token(needs_nonce=False)
    assert [await desk.ask("", "", bearer) for _ in range(3)] == [ADDRESS] * 3
    assert await desk.store.last(ADDRESS) is None
    with pytest.raises(NonceRefused):
        await desk.ask("", "", await desk.token(needs_nonce=True))
    with pytest.raises(NonceRefused):
        await desk.ask("", signed(f"{ADDRESS}download"), bearer)


@pytest.mark.gen_test
async def test_bad_tokens_are_refused_and_use_up_nothing(desk: Desk) -> None:
    foreign = await desk.token(needs_nonce=True, address=OTHER)
    revoked = await desk.token(needs_nonce=True)
    await desk.tokens.revoke(revoked.text, ADDRESS)
    reasons = []
    for token in (PresentedToken("x.y.z", True), foreign, revoked):
        with pytest.raises(TokenNotAccepted) as caught:
            await desk.ask("7", "", token)
        reasons.append(caught.value.detail)
    desk.now += 1
    expiring = await desk.token(needs_nonce=True)
    desk.now += 3600
    with pytest.raises(TokenNotAccepted) as caught:
        await desk.ask("7", "", expiring)
    assert [*reasons, caught.value.detail] == [
        "Token is invalid.",
        "Token is invalid.",
        "Token is deleted.",
        "Token is expired.",
    ]
    assert caught.value.body()["errors"] == {
        "signature": ["Invalid signature provided. Please check the nonce or documentId."]
    }
    assert await desk.store.last(ADDRESS) is None


@pytest.mark.gen_test
async def test_neither_signature_nor_token_is_refused(desk: Desk) -> None:
    with pytest.raises(SignatureInvalid):
        await desk.ask("7")


@pytest.mark.gen_test
async def test_clock_nonces_may_come_out_of_order(desk: Desk) -> None:
    async def passes(nonce: int) -> bool:
        try:
            await desk.ask(str(nonce), signed(f"{DID}{nonce}"))
        except NonceRefused:
            return False
        return True

    steps = (0, 100, 50, 100, 50, 60, -600_000, 601_000, 1_001, 999)
    assert [await passes(CLOCK + step) for step in steps] == [
        True,
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
        False,
    ]


def test_presented_token_hides_its_text() -> None:
    assert "secret" not in repr(PresentedToken("secret", needs_nonce=True))
