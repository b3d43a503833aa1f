"""What both stores of quotas keep to: the file of one host, and Redis for several."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from provider.errors import QuotaExhausted, StoreError
from provider.observability.metrics.backends import QuotaMetrics
from provider.quotas.quota import (
    DOWNLOAD,
    NO_LIMITS,
    NOTHING,
    PORTION_BYTES,
    Amount,
    Body,
    Count,
    Limit,
    Limits,
    Quota,
    Refusal,
    Taker,
    decide,
)
from provider.quotas.quotas import Quotas
from provider.quotas.redis_store import RedisQuotaStore
from provider.quotas.sqlite_store import SqliteQuotaStore
from provider.quotas.store import KEPT_SECONDS, LEASE_SECONDS, Move, QuotaStore
from tests.support.redis_clients import RedisClientOf
from tests.support.redis_server import Cluster, RedisServer

TOMORROW = int(time.time()) + 86_400
TAKER = Taker("0xBuyer", "did:op:1", "service", "0xtx")
Open = Callable[[], QuotaStore]
Run = Callable[[Awaitable[Any]], Any]


def quota(name: str = "day", downloads: int = 0, sent_bytes: int = 0) -> Quota:
    return Quota("consumer", name, Limit(downloads, sent_bytes), TOMORROW)


def move(hold_id: str, sent: Amount, *names: str, noted: Amount = NOTHING, rest: Amount | None = None) -> Move:
    """`rest` None: the end of the download."""
    return Move(hold_id, names or ("day",), sent, noted, rest or NOTHING, is_end=rest is None)


async def until(store: QuotaStore, is_so: Callable[[Count], bool], *names: str) -> None:
    async with asyncio.timeout(60):
        while not is_so((await store.counts(names))[0]):  # noqa: ASYNC110 - polls the store
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def run(io_loop: IOLoop) -> Run:
    def wait_for(work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return io_loop.run_sync(awaited)

    return wait_for


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, run: Run, redis_client: RedisClientOf) -> Iterator[Open]:
    """Stores of the same counts, as several workers or hosts have them."""
    opened: list[QuotaStore] = []
    if request.param == "redis":
        request.getfixturevalue("redis").ask("FLUSHALL")

    def start() -> QuotaStore:
        if request.param == "sqlite":
            store: QuotaStore = SqliteQuotaStore(tmp_path / "quotas")
        else:
            store = RedisQuotaStore(redis_client(request.getfixturevalue("redis").url), prefix="test")
        opened.append(store)
        return store

    yield start
    for store in opened:
        run(store.close())


def test_parallel_downloads_over_two_workers_never_exceed_a_limit(open_store: Open, run: Run) -> None:
    async def take_all() -> list[Refusal | Amount]:
        workers = open_store(), open_store()
        takes = [
            workers[number % 2].take(f"hold{number}", [quota(downloads=7, sent_bytes=5000)], Body(600), time.time())
            for number in range(40)
        ]
        return await asyncio.gather(*takes)

    held = [taken for taken in run(take_all()) if isinstance(taken, Amount)]
    assert held == [Amount(DOWNLOAD, 600)] * 7
    (count,) = run(open_store().counts(["day"]))
    assert count == Count(held=Amount(7 * DOWNLOAD, 4200), ends_at=TOMORROW)


def test_what_was_not_sent_is_given_back(open_store: Open, run: Run) -> None:
    store = open_store()
    run(store.take("one", [quota(downloads=1, sent_bytes=100)], Body(100), time.time()))
    assert isinstance(run(store.take("two", [quota(downloads=1, sent_bytes=100)], Body(1), time.time())), Refusal)
    run(store.move([move("one", Amount(DOWNLOAD // 4, 25))]))
    assert run(store.counts(["day"])) == [Count(Amount(DOWNLOAD // 4, 25), ends_at=TOMORROW)]
    assert run(store.take("two", [quota(downloads=1, sent_bytes=100)], Body(75), time.time())) == Amount(DOWNLOAD, 75)


def test_what_is_sent_moves_from_held_to_sent(open_store: Open, run: Run) -> None:
    store = open_store()
    run(store.take("one", [quota("a", sent_bytes=100), quota("b", sent_bytes=100)], Body(100), time.time()))
    half = Amount(DOWNLOAD // 2, 50)
    for _ in range(2):
        run(store.move([move("one", half, "a", "b", rest=half)]))
    assert run(store.counts(["a", "b"])) == [Count(half, half, TOMORROW)] * 2
    run(store.move([move("one", Amount(DOWNLOAD, 100), "a", "b", noted=half)]))
    assert run(store.counts(["a", "b"])) == [Count(Amount(DOWNLOAD, 100), ends_at=TOMORROW)] * 2


def test_a_hold_that_is_taken_again_becomes_larger(open_store: Open, run: Run) -> None:
    store, limit = open_store(), 2 * PORTION_BYTES + 5
    run(store.take("one", [quota(downloads=1, sent_bytes=limit)], Body(None), time.time()))
    run(store.move([move("one", Amount(DOWNLOAD, 5), rest=Amount(0, PORTION_BYTES - 5))]))
    for held in (PORTION_BYTES, 5):
        more = run(store.take("one", [quota(sent_bytes=limit)], Body(None, parts=0), time.time()))
        assert more == Amount(0, held)
    assert run(store.counts(["day"])) == [Count(Amount(DOWNLOAD, 5), Amount(0, limit - 5), TOMORROW)]
    assert isinstance(run(store.take("one", [quota(sent_bytes=limit)], Body(None, parts=0), time.time())), Refusal)
    run(store.move([move("one", Amount(DOWNLOAD, 7))]))
    assert run(store.counts(["day"])) == [Count(Amount(DOWNLOAD, 7), ends_at=TOMORROW)]


def test_a_refusal_holds_nothing_of_the_other_quotas(open_store: Open, run: Run) -> None:
    store = open_store()
    run(store.take("one", [quota("b", downloads=1)], Body(1), time.time()))
    assert isinstance(
        run(store.take("two", [quota("a", downloads=9), quota("b", downloads=1)], Body(1), time.time())), Refusal
    )
    assert run(store.counts(["a"])) == [Count()]


def test_a_body_of_unknown_length_holds_what_is_left(open_store: Open, run: Run) -> None:
    store = open_store()
    run(store.take("one", [quota(sent_bytes=100)], Body(40), time.time()))
    assert run(store.take("two", [quota(sent_bytes=100)], Body(None), time.time())) == Amount(DOWNLOAD, 60)
    refusal = run(store.take("three", [quota(sent_bytes=100)], Body(1), time.time()))
    assert isinstance(refusal, Refusal)
    assert refusal.is_held


def test_a_length_that_no_store_can_count_blocks_nobody(open_store: Open, run: Run) -> None:
    async def both() -> list[Refusal | Amount]:
        store = open_store()
        async with asyncio.timeout(30):
            first = await store.take("hold1", [quota(downloads=5)], Body(10**19), time.time())
            return [first, await store.take("hold2", [quota(downloads=5)], Body(100), time.time())]

    first, second = run(both())
    assert isinstance(first, Amount)
    assert second == Amount(DOWNLOAD, 100)


def test_what_cannot_be_written_does_not_hold_up_what_comes_later(tmp_path: Path, run: Run) -> None:
    async def both() -> Refusal | Amount:
        store = SqliteQuotaStore(tmp_path / "quotas")
        async with asyncio.timeout(30):
            with pytest.raises(StoreError):
                # SQLite takes no half of a surrogate pair.
                await store.take("hold1", [quota("\ud800", downloads=5)], Body(100), time.time())
            taken = await store.take("hold2", [quota(downloads=5)], Body(100), time.time())
        await store.close()
        return taken

    assert run(both()) == Amount(DOWNLOAD, 100)


def test_both_decide_as_the_pure_decision_does(open_store: Open, run: Run) -> None:
    """Random takes and ends, beside a model that has nothing but `decide`."""
    random, store = Random(5), open_store()
    names = ["a", "b", "c"]
    model = dict.fromkeys(names, (0, 0, 0, 0))
    holds: dict[str, tuple[list[str], Amount, Body]] = {}

    def add(name: str, *by: int) -> None:
        had = model[name]
        model[name] = (had[0] + by[0], had[1] + by[1], had[2] + by[2], had[3] + by[3])

    for step in range(200):
        if holds and random.random() < 0.4:
            hold_id = random.choice(list(holds))
            of, held, body = holds.pop(hold_id)
            sent = body.sent(random.randint(0, body.length_bytes or 30))
            run(store.move([move(hold_id, sent, *of)]))
            for name in of:
                add(name, sent.parts, sent.bytes, -held.parts, -held.bytes)
            continue
        of = random.sample(names, random.randint(1, 3))
        quotas = [quota(name, downloads=random.choice([0, 30]), sent_bytes=random.choice([0, 900])) for name in of]
        body = Body(random.choice([None, 0, 1, 10, 50]), random.choice([DOWNLOAD, 500]))
        counts = [Count(Amount(*model[name][:2]), Amount(*model[name][2:])) for name in of]
        expected = decide(quotas, counts, body, 1.0)
        taken = run(store.take(str(step), quotas, body, 1.0))
        assert (taken if isinstance(taken, Refusal) else None) == expected
        if isinstance(taken, Amount):
            holds[str(step)] = of, taken, body
            for name in of:
                add(name, 0, 0, taken.parts, taken.bytes)
    kept = run(store.counts(names))
    assert [(count.sent.parts, count.sent.bytes, count.held.parts, count.held.bytes) for count in kept] == [
        model[name] for name in names
    ]


def test_counts_outlive_the_store(open_store: Open, run: Run) -> None:
    store = open_store()
    run(store.take("one", [quota(downloads=1)], Body(1), time.time()))
    run(store.move([move("one", Amount(DOWNLOAD, 1))]))
    run(store.close())
    assert isinstance(run(open_store().take("two", [quota(downloads=1)], Body(1), time.time())), Refusal)


# The leases of holds


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def test_what_a_dead_worker_holds_is_given_back_and_what_it_had_sent_counts(tmp_path: Path, run: Run) -> None:
    clock = Clock()
    store, other = (SqliteQuotaStore(tmp_path / "quotas", clock=clock) for _ in range(2))
    run(store.take("one", [quota(downloads=1)], Body(100), clock()))
    part, rest = Amount(DOWNLOAD // 5, 20), Amount(DOWNLOAD * 4 // 5, 80)
    run(store.move([move("one", part, rest=rest)]))
    clock.now += LEASE_SECONDS - 1
    assert run(other.counts(["day"])) == [Count(part, rest, TOMORROW)]
    clock.now += 2
    assert run(other.counts(["day"])) == [Count(part, ends_at=TOMORROW)]
    # It was only asleep: it holds the rest again, what it sent since then counts, and nothing counts twice.
    more = Amount(DOWNLOAD // 2, 50)
    run(store.move([move("one", more, noted=part, rest=more)]))
    assert run(other.counts(["day"])) == [Count(more, more, TOMORROW)]
    run(store.move([move("one", Amount(DOWNLOAD, 100), noted=more)]))
    assert run(other.counts(["day"])) == [Count(Amount(DOWNLOAD, 100), ends_at=TOMORROW)]
    for each in (store, other):
        run(each.close())


def test_a_download_that_outlasts_an_outage_holds_its_rest_again(
    redis: RedisServer, run: Run, redis_client: RedisClientOf
) -> None:
    redis.ask("FLUSHALL")

    async def story() -> None:
        client = redis_client(redis.url)
        store = RedisQuotaStore(client, prefix="test", lease_seconds=0.05)
        await store.take("one", [quota(sent_bytes=100)], Body(100), time.time())
        await until(store, lambda count: count.held == NOTHING, "day")
        patient = RedisQuotaStore(client, prefix="test")
        sent, rest = Amount(DOWNLOAD // 5, 20), Amount(DOWNLOAD * 4 // 5, 80)
        await patient.move([move("one", sent, rest=rest)])
        assert await patient.counts(["day"]) == [Count(sent, rest, TOMORROW)]
        refusal = await patient.take("two", [quota(sent_bytes=100)], Body(50), time.time())
        assert isinstance(refusal, Refusal)
        assert refusal.is_held

    run(story())


def test_redis_gives_back_what_a_dead_host_holds(redis: RedisServer, run: Run, redis_client: RedisClientOf) -> None:
    redis.ask("FLUSHALL")

    async def story() -> None:
        client = redis_client(redis.url)
        store = RedisQuotaStore(client, prefix="test", lease_seconds=0.05)
        await store.take("one", [quota(downloads=1)], Body(100), time.time())
        part = Amount(DOWNLOAD // 5, 20)
        await store.move([move("one", part, rest=Amount(DOWNLOAD * 4 // 5, 80))])
        await until(store, lambda count: count.held == NOTHING, "day")
        await store.move([move("one", Amount(DOWNLOAD, 100), noted=part)])
        assert await store.counts(["day"]) == [Count(Amount(DOWNLOAD, 100), ends_at=TOMORROW)]
        async with asyncio.timeout(60):
            # The end is remembered for a lease.
            while redis.ask("KEYS", "*").split()[2:] != [b"test:{quotas}:day"]:
                await store.counts(["day"])

    run(story())


def test_redis_counts_once_what_is_told_twice_because_no_reply_came(
    redis: RedisServer, run: Run, redis_client: RedisClientOf
) -> None:
    async def told_twice() -> Count:
        redis.ask("FLUSHALL")
        client = redis_client(redis.url)
        store = RedisQuotaStore(client, prefix="test")
        await store.take("hold", [quota(downloads=5)], Body(100), time.time())
        end = move("hold", Amount(DOWNLOAD, 100))
        await store.move([end])
        await store.move([end])
        return (await store.counts(["day"]))[0]

    assert run(told_twice()) == Count(Amount(DOWNLOAD, 100), NOTHING, TOMORROW)


def test_a_report_that_the_end_overtakes_takes_nothing_back(
    redis: RedisServer, run: Run, redis_client: RedisClientOf
) -> None:
    """A host reports many downloads, and some of them end meanwhile."""
    redis.ask("FLUSHALL")

    async def story() -> None:
        client = redis_client(redis.url)
        store = RedisQuotaStore(client, prefix="test")
        await store.take("one", [quota(downloads=2)], Body(100), time.time())
        late = move("one", NOTHING, rest=Amount(DOWNLOAD, 100))
        await store.move([move("one", Amount(DOWNLOAD, 100))])
        await store.move([late])
        assert await store.counts(["day"]) == [Count(Amount(DOWNLOAD, 100), NOTHING, TOMORROW)]

    run(story())


def test_a_cluster_keeps_all_counts_of_a_download_in_one_slot(
    tmp_path: Path, run: Run, redis_client: RedisClientOf
) -> None:
    nodes = Cluster(tmp_path)
    try:
        store = RedisQuotaStore(redis_client(nodes.url), prefix="test")
        quotas = [quota(name, downloads=1) for name in ("order 1", "day 2", "month 3")]
        assert run(store.take("one", quotas, Body(5), time.time())) == Amount(DOWNLOAD, 5)
        assert isinstance(run(store.take("two", quotas, Body(5), time.time())), Refusal)
    finally:
        nodes.stop()


def test_counts_are_deleted_long_after_their_end_and_those_of_orders_without_an_end_never(
    tmp_path: Path, run: Run
) -> None:
    clock = Clock()
    store = SqliteQuotaStore(tmp_path / "quotas", clock=clock)
    quotas = [quota("day", downloads=1), Quota("order", "order", Limit(1), None)]
    run(store.take("one", quotas, Body(1), clock()))
    run(store.move([move("one", Amount(DOWNLOAD, 1), "day", "order")]))
    for later, kept in ((KEPT_SECONDS, 1), (KEPT_SECONDS + 2 * 86_400, 0)):
        clock.now = TOMORROW + later - 86_400
        run(store.take(f"at {later}", [quota("other", downloads=9)], Body(1), clock()))
        day, order = run(store.counts(["day", "order"]))
        assert (day.sent.parts, order.sent.parts) == (kept * DOWNLOAD, DOWNLOAD)
    run(store.close())


# What a worker does with its store


class Broken(SqliteQuotaStore):
    """A store that is away while `is_away`."""

    is_away = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.was_asked = asyncio.Event()

    async def move(self, moves: Any) -> None:
        self.was_asked.set()
        if self.is_away:
            raise StoreError(detail="away")
        await super().move(moves)


def test_what_cannot_be_counted_is_counted_later_and_told_once(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        store = Broken(tmp_path / "quotas")
        quotas = Quotas(Limits(order=Limit(1)), store, QuotaMetrics(), look_seconds=0.01)
        hold = await quotas.take(TAKER, NO_LIMITS, Body(10), sent_bytes=lambda: 0, cut=lambda: None)
        assert hold is not None
        store.is_away = True
        quotas.end(hold, 10)
        for _ in range(3):
            await store.was_asked.wait()
            store.was_asked.clear()
        assert (await store.counts(hold.names))[0].sent == NOTHING
        store.is_away = False
        await until(store, lambda count: count.sent != NOTHING, *hold.names)
        with pytest.raises(QuotaExhausted):
            await quotas.check(TAKER)
        await quotas.close()

    run(story())
    assert sum("cannot be counted yet" in line for line in caplog.messages) == 1


def test_a_body_of_unknown_length_is_cut_when_it_has_sent_all_that_was_left(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        store = SqliteQuotaStore(tmp_path / "quotas")
        quotas = Quotas(Limits(order=Limit(bytes=100)), store, QuotaMetrics(), look_seconds=0.01)
        sent, is_cut = 0, asyncio.Event()
        hold = await quotas.take(TAKER, NO_LIMITS, Body(None), sent_bytes=lambda: sent, cut=is_cut.set)
        assert hold is not None
        sent = 100
        assert hold.left_bytes == 0
        sent = 101
        async with asyncio.timeout(30):
            await is_cut.wait()
        quotas.end(hold, sent)
        await quotas.close()

    run(story())


def test_who_reads_a_body_of_unknown_length_slowly_holds_a_portion_of_what_is_left(open_store: Open, run: Run) -> None:
    async def story() -> None:
        quotas = Quotas(Limits(asset_month=Limit(bytes=10 * PORTION_BYTES)), open_store(), QuotaMetrics(is_on=False))
        slow = await quotas.take(TAKER, NO_LIMITS, Body(None), sent_bytes=lambda: 1, cut=lambda: None)
        other = await quotas.take(TAKER, NO_LIMITS, Body(9 * PORTION_BYTES), sent_bytes=int, cut=lambda: None)
        assert slow is not None
        assert other is not None
        quotas.end(slow, 1)
        quotas.end(other, 0)
        await quotas.close()

    run(story())


def test_a_body_of_unknown_length_goes_on_while_something_is_left_and_counts_once(open_store: Open, run: Run) -> None:
    async def story() -> None:
        store, limit = open_store(), 6 * PORTION_BYTES
        limits = Limits(order=Limit(downloads=1, bytes=limit))
        quotas = Quotas(limits, store, QuotaMetrics(is_on=False), look_seconds=0.01)
        sent, is_cut = 0, asyncio.Event()
        hold = await quotas.take(TAKER, NO_LIMITS, Body(None), sent_bytes=lambda: sent, cut=is_cut.set)
        assert hold is not None
        # Slowly, then a leap over what is held, then all of it.
        for sent in (PORTION_BYTES - 1, PORTION_BYTES, 5 * PORTION_BYTES, limit):
            await until(store, lambda count, sent=sent: count.sent.bytes == sent, *hold.names)
            (count,) = await store.counts(hold.names)
            assert count.held.bytes <= 2 * PORTION_BYTES
        assert not is_cut.is_set()
        sent = limit + 1
        async with asyncio.timeout(30):
            await is_cut.wait()
        quotas.end(hold, sent)
        await until(store, lambda count: count == Count(Amount(DOWNLOAD, limit + 1)), *hold.names)
        await quotas.close()

    run(story())


class Defective(SqliteQuotaStore):
    """A store with a defect, which shows itself `failures` times."""

    failures = 0

    async def move(self, moves: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("defect")
        await super().move(moves)


@pytest.mark.parametrize("failures", [1, 3])
def test_after_an_unforeseen_failure_downloads_are_counted_and_cut_as_before(
    tmp_path: Path, run: Run, failures: int
) -> None:
    async def story() -> None:
        store = Defective(tmp_path / "quotas")
        quotas = Quotas(Limits(order=Limit(bytes=100)), store, QuotaMetrics(), look_seconds=0.01)
        first = await quotas.take(TAKER, NO_LIMITS, Body(10), sent_bytes=lambda: 0, cut=lambda: None)
        assert first is not None
        store.failures = failures
        quotas.end(first, 10)
        await until(store, lambda count: count.sent.bytes == 10, *first.names)

        def fail() -> None:
            store.failures = failures
            is_cut.set()
            raise RuntimeError("defect")

        is_cut, is_other_cut = asyncio.Event(), asyncio.Event()
        for order, cut in (("0xfirst", fail), ("0xother", is_other_cut.set)):
            taker = replace(TAKER, order_tx_id=order)
            await quotas.take(taker, NO_LIMITS, Body(None), sent_bytes=lambda: 101, cut=cut)
        async with asyncio.timeout(30):
            await is_cut.wait()
            await is_other_cut.wait()
        await quotas.close()

    run(story())


def test_a_consumer_who_leaves_too_early_holds_nothing(open_store: Open, run: Run) -> None:
    async def leave() -> None:
        store = open_store()
        # Opens the file.
        await store.counts(["day"])
        quotas = Quotas(Limits(asset_month=Limit(bytes=1000)), store, QuotaMetrics(is_on=False))
        taking = asyncio.create_task(quotas.take(TAKER, NO_LIMITS, Body(None), sent_bytes=int, cut=lambda: None))
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        hold = None
        async with asyncio.timeout(30):
            while hold is None:
                with suppress(QuotaExhausted):
                    hold = await quotas.take(TAKER, NO_LIMITS, Body(1000), sent_bytes=int, cut=lambda: None)
        quotas.end(hold, 0)
        await quotas.close()

    run(leave())


def test_a_worker_that_stops_counts_what_was_sent(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        path = tmp_path / "quotas"
        quotas = Quotas(Limits(order=Limit(1)), SqliteQuotaStore(path), QuotaMetrics())
        hold = await quotas.take(TAKER, NO_LIMITS, Body(10), sent_bytes=lambda: 0, cut=lambda: None)
        assert hold is not None
        quotas.end(hold, 5)
        await quotas.close()
        store = SqliteQuotaStore(path)
        assert (await store.counts(hold.names))[0].sent == Amount(DOWNLOAD // 2, 5)
        await store.close()

    run(story())


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "quotas").write_bytes(b"something else" * 100)
    store = SqliteQuotaStore(tmp_path / "quotas")
    with pytest.raises(StoreError):
        run(store.counts(["day"]))
    run(store.close())
