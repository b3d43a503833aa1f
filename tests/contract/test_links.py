"""Links over a real store of revocations: their ends, and what they cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.token import AuthToken
from provider.cache import FactCache
from provider.crypto.accounts import Account
from provider.errors import LinkExpired, LinkRevoked
from provider.links.config import MAX_SECONDS, LinkConfig
from provider.links.links import REVOCATIONS_SECONDS, Links
from provider.links.token import Link, LinkSeal, OrderedFile

CONSUMER = "0x" + "12" * 20
ORDER, OTHER_ORDER = "0x" + "ef" * 32, "0x" + "ee" * 32
FILE = OrderedFile("did:op:" + "ab" * 32, "1", ORDER, 0)
NOW = 1_800_000_000.0


class Clock:
    """Time that passes when told to."""

    now = NOW

    def __call__(self) -> float:
        return self.now


class Worker:
    """The links of one worker; `store` may be shared."""

    def __init__(self, store: SqliteNonceStore, clock: Clock) -> None:
        self.known: FactCache[str, int] = FactCache(
            name="links", max_entries=100, ttl_seconds=REVOCATIONS_SECONDS, clock=clock
        )
        seal = LinkSeal(Account.from_hex("11" * 32))
        self.links = Links(seal, store, config=LinkConfig(), known=self.known, clock=clock)
        self.clock = clock

    async def issue(
        self,
        *,
        order: str = ORDER,
        seconds: int | None = None,
        ends_at: int | None = None,
        token: AuthToken | None = None,
    ) -> Link:
        target = OrderedFile(FILE.did, FILE.service_id, order, 0)
        return await self.links.issue(
            target, CONSUMER, seconds=seconds, ends_at=ends_at, token=token, nonce="", signature=""
        )

    async def opens(self, link: Link) -> bool:
        try:
            return await self.links.open(self.links.seal(link, "a"), "a") == link
        except LinkRevoked:
            return False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock, io_loop: object) -> Iterator[SqliteNonceStore]:
    opened = SqliteNonceStore(tmp_path / "store.db", clock=clock)
    yield opened
    io_loop.run_sync(opened.close)  # type: ignore[attr-defined]


@pytest.mark.gen_test
async def test_lifetimes_are_bounded(store: SqliteNonceStore, clock: Clock) -> None:
    worker = Worker(store, clock)
    token = AuthToken(CONSUMER, int(NOW) + 50, "t")
    lives = [
        (await worker.issue()).expires_at - NOW,
        (await worker.issue(seconds=60)).expires_at - NOW,
        (await worker.issue(seconds=10**80)).expires_at - NOW,
        (await worker.issue(seconds=60, ends_at=int(NOW) + 30)).expires_at - NOW,
        (await worker.issue(seconds=60, token=token)).expires_at - NOW,
    ]
    assert lives == [86_400, 60, MAX_SECONDS, 30, 50]


@pytest.mark.gen_test
async def test_a_link_ends_when_its_time_is_over_and_is_renewed_before(store: SqliteNonceStore, clock: Clock) -> None:
    worker = Worker(store, clock)
    link = await worker.issue(seconds=60)
    clock.now += 59
    assert await worker.opens(link)
    renewed = await worker.links.renew(link, ends_at=None)
    clock.now += 1
    with pytest.raises(LinkExpired):
        await worker.opens(link)
    assert renewed.expires_at == int(NOW) + 59 + 60
    assert await worker.opens(renewed)


@pytest.mark.gen_test
async def test_a_renewed_link_does_not_outlive_the_token_that_made_the_first(
    store: SqliteNonceStore, clock: Clock
) -> None:
    worker = Worker(store, clock)
    link = await worker.issue(seconds=60, token=AuthToken(CONSUMER, int(NOW) + 100, "t"))
    clock.now += 59
    assert (await worker.links.renew(link, ends_at=None)).expires_at == int(NOW) + 100


@pytest.mark.gen_test
async def test_a_revocation_ends_what_was_made_before_and_nothing_else(store: SqliteNonceStore, clock: Clock) -> None:
    worker, other = Worker(store, clock), Worker(store, clock)
    link, of_other_order = await worker.issue(), await worker.issue(order=OTHER_ORDER)
    assert await other.opens(link)
    await worker.links.revoke(CONSUMER, ORDER)
    # Made in the very second of the revocation.
    later = await worker.issue()
    assert [await worker.opens(one) for one in (link, of_other_order, later)] == [False, True, True]
    clock.now += REVOCATIONS_SECONDS
    assert [await other.opens(one) for one in (link, of_other_order, later)] == [False, True, True]
    await worker.links.revoke(CONSUMER, None)
    clock.now += REVOCATIONS_SECONDS
    assert not any([await other.opens(one) for one in (link, of_other_order, later)])
    assert await other.opens(await other.issue())


@pytest.mark.gen_test
async def test_a_revoked_link_cannot_be_renewed_where_its_revocation_was_not_noticed_yet(
    store: SqliteNonceStore, clock: Clock
) -> None:
    worker, other = Worker(store, clock), Worker(store, clock)
    link = await worker.issue()
    assert await other.opens(link)
    await worker.links.revoke(CONSUMER, ORDER)
    clock.now += REVOCATIONS_SECONDS - 1
    assert await other.opens(link)
    with pytest.raises(LinkRevoked):
        await other.links.renew(link, ends_at=None)


@pytest.mark.gen_test
async def test_a_link_that_lives_longest_is_still_revoked_at_its_end(store: SqliteNonceStore, clock: Clock) -> None:
    worker = Worker(store, clock)
    link = await worker.issue(seconds=MAX_SECONDS)
    await worker.links.revoke(CONSUMER, None)
    clock.now += MAX_SECONDS - 1
    # The store drops what is over whenever it writes.
    await store.revoke("another", int(clock.now))
    assert not await worker.opens(link)


@pytest.mark.gen_test
async def test_a_link_ends_with_the_token_that_made_it(store: SqliteNonceStore, clock: Clock) -> None:
    worker = Worker(store, clock)
    link = await worker.issue(token=AuthToken(CONSUMER, int(NOW) + 3600, "t"))
    assert await worker.opens(link)
    await store.revoke("t", int(NOW) + 3600)
    clock.now += REVOCATIONS_SECONDS
    assert not await worker.opens(link)


@pytest.mark.gen_test
async def test_opening_a_link_again_asks_no_store(store: SqliteNonceStore, clock: Clock) -> None:
    worker = Worker(store, clock)
    link = await worker.issue()
    assert await worker.opens(link)
    await store.close()
    assert await worker.opens(link)


@pytest.mark.gen_test
async def test_two_revocations_in_one_second_end_the_link_between_them(store: SqliteNonceStore, clock: Clock) -> None:
    worker = Worker(store, clock)
    await worker.links.revoke(CONSUMER, None)
    between = await worker.issue()
    await worker.links.revoke(CONSUMER, None)
    assert not await worker.opens(between)
    assert await worker.opens(await worker.issue())


@pytest.mark.gen_test
@pytest.mark.parametrize("ahead_seconds", [2, 600, 3600])
async def test_a_revocation_ends_links_of_a_host_whose_clock_is_ahead(
    store: SqliteNonceStore, clock: Clock, ahead_seconds: int
) -> None:
    """Also those that were made before the clock of the only host was set back."""
    fast = Clock()
    fast.now = clock.now + ahead_seconds
    there, here = Worker(store, fast), Worker(store, clock)
    link = await there.issue(seconds=MAX_SECONDS)
    await here.links.revoke(CONSUMER, None)
    assert not await here.opens(link)
    for host in (here, there):
        fresh = await host.issue()
        assert [await each.opens(fresh) for each in (here, there)] == [True, True]
        await here.links.revoke(CONSUMER, ORDER)
        assert not await here.opens(fresh)


@pytest.mark.gen_test
async def test_a_link_made_where_a_revocation_was_not_noticed_yet_is_not_revoked(
    store: SqliteNonceStore, clock: Clock
) -> None:
    worker, other = Worker(store, clock), Worker(store, clock)
    assert await other.opens(await other.issue())
    await worker.links.revoke(CONSUMER, ORDER)
    fresh = await other.issue()
    clock.now += REVOCATIONS_SECONDS
    assert [await each.opens(fresh) for each in (worker, other)] == [True, True]


@pytest.mark.gen_test
@pytest.mark.parametrize("scopes", [(None, ORDER), (ORDER, None)])
async def test_revocations_of_all_orders_and_of_one_in_one_second_end_the_link_between_them(
    store: SqliteNonceStore, clock: Clock, scopes: tuple[str | None, str | None]
) -> None:
    worker = Worker(store, clock)
    await worker.links.revoke(CONSUMER, scopes[0])
    between = await worker.issue()
    assert await worker.opens(between)
    await worker.links.revoke(CONSUMER, scopes[1])
    assert not await worker.opens(between)
    assert await worker.opens(await worker.issue())
