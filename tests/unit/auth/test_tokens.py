"""Tokens with a clock and a store: lifetime, revocation, and who they belong to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from tornado.ioloop import IOLoop

from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.tokens import Tokens
from provider.errors import TokenExpired, TokenRefused, TokenRevoked

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
KEY = b"k" * 32
NOW = 1_700_000_000.5
DAY = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, io_loop: IOLoop, clock: Clock) -> Iterator[SqliteNonceStore]:
    opened = SqliteNonceStore(tmp_path / "n.db", clock=clock)
    yield opened
    io_loop.run_sync(opened.close)


@pytest.fixture
def tokens(store: SqliteNonceStore, clock: Clock) -> Tokens:
    return Tokens(KEY, store, max_lifetime_seconds=30 * DAY, clock=clock)


def expiry(token: str) -> int:
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_exp": False})
    return int(claims["exp"])


@pytest.mark.parametrize(
    ("requested_at", "expires_at"),
    [
        (None, int(NOW) + 30 * DAY),
        (int(NOW) + 60, int(NOW) + 60),
        (int(NOW) + 31 * DAY, int(NOW) + 30 * DAY),
        (10**77, int(NOW) + 30 * DAY),
    ],
    ids=["unasked", "short", "too long", "for ever"],
)
@pytest.mark.gen_test
async def test_token_ends_as_asked_but_never_later_than_allowed(
    tokens: Tokens, requested_at: int | None, expires_at: int
) -> None:
    assert expiry(await tokens.issue(ADDRESS, requested_at)) == expires_at


@pytest.mark.gen_test
async def test_token_is_good_until_it_expires(tokens: Tokens, clock: Clock) -> None:
    token = await tokens.issue(ADDRESS, int(NOW) + 60)
    clock.now = NOW + 59
    assert (await tokens.check(token, ADDRESS.lower())).address == ADDRESS
    clock.now = NOW + 60
    with pytest.raises(TokenExpired):
        await tokens.check(token, ADDRESS)


@pytest.mark.gen_test
async def test_revoked_token_is_refused_until_the_same_is_created_again(tokens: Tokens) -> None:
    token = await tokens.issue(ADDRESS, int(NOW) + 60)
    await tokens.revoke(token, ADDRESS)
    with pytest.raises(TokenRevoked):
        await tokens.check(token, ADDRESS)
    with pytest.raises(TokenRevoked):
        await tokens.revoke(token, ADDRESS)
    await tokens.issue(ADDRESS, int(NOW) + 61)
    with pytest.raises(TokenRevoked):
        await tokens.check(token, ADDRESS)
    assert await tokens.issue(ADDRESS, int(NOW) + 60) == token
    await tokens.check(token, ADDRESS)


@pytest.mark.gen_test
async def test_nobody_revokes_the_token_of_another(tokens: Tokens) -> None:
    token = await tokens.issue(ADDRESS, int(NOW) + 60)
    with pytest.raises(TokenRefused):
        await tokens.revoke(token, OTHER)
    await tokens.check(token, ADDRESS)


@pytest.mark.gen_test
async def test_token_of_another_provider_is_refused(tokens: Tokens, store: SqliteNonceStore, clock: Clock) -> None:
    foreign = Tokens(b"f" * 32, store, max_lifetime_seconds=DAY, clock=clock)
    with pytest.raises(TokenRefused):
        await tokens.check(await foreign.issue(ADDRESS, None), ADDRESS)


@pytest.mark.gen_test
async def test_tokens_created_at_once_are_one_token(tokens: Tokens) -> None:
    made = await asyncio.gather(*(tokens.issue(ADDRESS, int(NOW) + 60) for _ in range(20)))
    assert len(set(made)) == 1
    await tokens.check(made[0], ADDRESS)


@pytest.mark.parametrize("ahead", [3_600, 2 * DAY, 29 * DAY])
@pytest.mark.gen_test
async def test_a_revocation_made_while_the_clock_is_ahead_is_kept(
    tokens: Tokens, store: SqliteNonceStore, clock: Clock, ahead: int
) -> None:
    short, long = await tokens.issue(ADDRESS, int(NOW) + 600), await tokens.issue(ADDRESS, None)
    clock.now = NOW + ahead
    for _ in range(2):
        with pytest.raises(TokenExpired):
            await tokens.revoke(short, ADDRESS)
    await tokens.revoke(long, ADDRESS)
    # Another revocation has those dropped that are out of date by this clock.
    await store.revoke("other", int(clock.now) + 60)
    clock.now = NOW + 1
    for token in (short, long):
        with pytest.raises(TokenRevoked):
            await tokens.check(token, ADDRESS)


@pytest.mark.gen_test
async def test_only_genuine_tokens_of_the_address_are_recorded(tokens: Tokens, clock: Clock) -> None:
    token = await tokens.issue(ADDRESS, int(NOW) + 60)
    clock.now = NOW + 3_600
    with pytest.raises(TokenRefused):
        await tokens.revoke(token, OTHER)
    clock.now = NOW
    assert (await tokens.check(token, ADDRESS)).address == ADDRESS
