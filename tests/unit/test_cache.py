"""FactCache: what it keeps, for how long, and who waits for whom."""

import asyncio
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.cache import CacheCounts, FactCache


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Counts its lookups; each waits for `gate` when one is set."""

    def __init__(self, value: object = "value", gate: asyncio.Event | None = None) -> None:
        self.value = value
        self.gate = gate
        self.calls = 0
        self.cancelled = 0
        self.asked: list[list[str]] = []

    async def fetch(self) -> object:
        self.calls += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    async def fetch_many(self, keys: list[str]) -> Mapping[str, object]:
        self.asked.append(list(keys))
        value = await self.fetch()
        return {key: f"{value}-{key}" for key in keys}


def make(max_entries: int = 10, ttl_seconds: float = 60.0, **more: object) -> FactCache:
    return FactCache(name="facts", max_entries=max_entries, ttl_seconds=ttl_seconds, **more)


async def settle() -> None:
    """Let every task that can run do so; lookups here take a handful of turns."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.gen_test
async def test_second_get_is_a_hit_without_lookup() -> None:
    source = Source()
    cache = make()
    assert await cache.get("k", source.fetch) == "value"
    assert await cache.get("k", source.fetch) == "value"
    assert source.calls == 1


@pytest.mark.parametrize("value", [0, False, "", -1], ids=repr)
@pytest.mark.gen_test
async def test_falsy_values_are_kept(value: object) -> None:
    source = Source(value)
    cache = make()
    await cache.get("k", source.fetch)
    assert await cache.get("k", source.fetch) == value
    assert cache.peek("k") == value
    assert source.calls == 1


@pytest.mark.parametrize(
    ("elapsed", "lookups"), [(59.999, 1), (60.0, 2), (61.0, 2)], ids=["before", "at the end", "after"]
)
@pytest.mark.gen_test
async def test_a_value_lives_for_its_ttl(elapsed: float, lookups: int) -> None:
    clock, source = Clock(), Source()
    cache = make(clock=clock)
    await cache.get("k", source.fetch)
    clock.now += elapsed
    assert (cache.peek("k") is None) == (lookups == 2)
    await cache.get("k", source.fetch)
    assert source.calls == lookups


@pytest.mark.gen_test
async def test_each_value_may_have_its_own_ttl() -> None:
    clock = Clock()
    cache = make(clock=clock)
    await cache.get("short", Source(1).fetch, ttl_seconds=lambda value: value * 5.0)
    await cache.get("long", Source(3).fetch, ttl_seconds=lambda value: value * 5.0)
    clock.now += 10
    assert cache.peek("short") is None
    assert cache.peek("long") == 3


@pytest.mark.parametrize("ttl_seconds", [0.0, -1.0, math.nan], ids=repr)
@pytest.mark.gen_test
async def test_no_lifetime_means_not_kept(ttl_seconds: float) -> None:
    cache = make()
    source = Source()
    assert await cache.get("k", source.fetch, ttl_seconds=lambda _: ttl_seconds) == "value"
    assert cache.peek("k") is None
    assert len(cache) == 0
    cache.put("p", 1)
    cache.put("p", 2, ttl_seconds=ttl_seconds)
    assert cache.peek("p") is None


@pytest.mark.gen_test
async def test_a_cache_without_room_still_shares_lookups() -> None:
    gate = asyncio.Event()
    source = Source(gate=gate)
    cache = make(max_entries=0)
    waiters = [asyncio.create_task(cache.get("k", source.fetch)) for _ in range(3)]
    await settle()
    gate.set()
    assert await asyncio.gather(*waiters) == ["value"] * 3
    assert source.calls == 1
    assert len(cache) == 0


def test_negative_room_is_refused() -> None:
    with pytest.raises(ValueError, match="facts"):
        make(max_entries=-1)


@pytest.mark.gen_test
async def test_one_lookup_serves_all_concurrent_callers() -> None:
    gate = asyncio.Event()
    source = Source(gate=gate)
    cache = make()
    waiters = [asyncio.create_task(cache.get("k", source.fetch)) for _ in range(200)]
    await settle()
    assert source.calls == 1
    gate.set()
    assert await asyncio.gather(*waiters) == ["value"] * 200
    assert source.calls == 1


@pytest.mark.gen_test
async def test_a_failure_reaches_every_waiter_and_is_not_kept() -> None:
    gate = asyncio.Event()
    source = Source(ConnectionError("gone"), gate=gate)
    cache = make()
    waiters = [asyncio.create_task(cache.get("k", source.fetch)) for _ in range(5)]
    await settle()
    gate.set()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 5
    assert source.calls == 1
    source.value = "back"
    assert await cache.get("k", source.fetch) == "back"


@pytest.mark.gen_test
async def test_a_failed_lookup_is_never_joined_by_a_later_caller() -> None:
    cache = make()
    good, bad = Source("good"), Source(ConnectionError("gone"))

    async def retry() -> object:
        try:
            return await cache.get("k", bad.fetch)
        except ConnectionError:
            return await cache.get("k", good.fetch)

    assert await asyncio.gather(*(retry() for _ in range(20))) == ["good"] * 20
    assert (bad.calls, good.calls) == (1, 1)


@pytest.mark.gen_test
async def test_a_cancelled_waiter_leaves_the_lookup_to_the_others() -> None:
    gate = asyncio.Event()
    source = Source(gate=gate)
    cache = make()
    first = asyncio.create_task(cache.get("k", source.fetch))
    await settle()
    second = asyncio.create_task(cache.get("k", source.fetch))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    gate.set()
    assert await second == "value"
    assert (source.calls, source.cancelled) == (1, 0)


@pytest.mark.gen_test
async def test_the_last_waiter_to_leave_cancels_the_lookup() -> None:
    source = Source(gate=asyncio.Event())
    cache = make()
    waiters = [asyncio.create_task(cache.get("k", source.fetch)) for _ in range(3)]
    await settle()
    for waiter in waiters:
        waiter.cancel()
    await settle()
    assert source.cancelled == 1
    source.gate = None
    assert await cache.get("k", source.fetch) == "value"
    assert source.calls == 2


@pytest.mark.gen_test
async def test_a_caller_does_not_join_a_lookup_that_is_being_cancelled() -> None:
    may_end = asyncio.Event()

    async def slow_to_leave() -> object:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    cache = make()
    first = asyncio.create_task(cache.get("k", slow_to_leave))
    await settle()
    first.cancel()
    await settle()
    assert await cache.get("k", Source("fresh").fetch) == "fresh"
    may_end.set()
    await settle()
    assert cache.peek("k") == "fresh"


@pytest.mark.gen_test
async def test_discard_during_a_lookup_keeps_its_result_out() -> None:
    gate = asyncio.Event()
    stale = Source("stale", gate=gate)
    cache = make()
    waiter = asyncio.create_task(cache.get("k", stale.fetch))
    await settle()
    cache.discard("k")
    assert await cache.get("k", Source("fresh").fetch) == "fresh"
    gate.set()
    assert await waiter == "stale"
    assert cache.peek("k") == "fresh"


@pytest.mark.gen_test
async def test_put_during_a_lookup_wins() -> None:
    gate = asyncio.Event()
    stale = Source("stale", gate=gate)
    cache = make()
    waiter = asyncio.create_task(cache.get("k", stale.fetch))
    await settle()
    cache.put("k", "newer")
    gate.set()
    assert await waiter == "stale"
    assert cache.peek("k") == "newer"


@pytest.mark.gen_test
async def test_kept_values_take_no_more_bytes_than_they_may_and_the_longest_unused_leaves_first() -> None:
    cache = make(max_entries=100, max_bytes=80, size_of=len)
    for key in "abcdefgh":
        cache.put(key, key * 10)
    assert (len(cache), cache.held_bytes) == (8, 80)
    cache.peek("a")
    cache.put("i", "i" * 5)
    assert (cache.peek("b"), cache.peek("a"), cache.held_bytes) == (None, "a" * 10, 75)
    cache.put("i", "i" * 10)
    assert (len(cache), cache.held_bytes) == (8, 80)
    cache.discard("a")
    assert (len(cache), cache.held_bytes) == (7, 70)
    assert cache.counts.evictions == 1


@pytest.mark.gen_test
async def test_a_value_of_more_than_an_eighth_of_the_bytes_is_handed_out_and_not_kept() -> None:
    cache = make(max_entries=100, max_bytes=80, size_of=len)
    cache.put("a", "a" * 10)

    async def large() -> str:
        return "b" * 11

    assert await cache.get("b", large) == "b" * 11
    assert (cache.peek("b"), cache.peek("a"), cache.held_bytes) == (None, "a" * 10, 10)


@pytest.mark.gen_test
async def test_bytes_of_an_expired_value_are_free_again() -> None:
    now = 0.0
    cache = make(max_entries=100, ttl_seconds=10, max_bytes=80, size_of=len, clock=lambda: now)
    cache.put("a", "a" * 10)
    now = 11.0
    assert cache.peek("a") is None
    assert cache.held_bytes == 0


def test_the_least_recently_used_entry_leaves_first() -> None:
    cache = make(max_entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.peek("a") == 1
    cache.put("c", 3)
    assert cache.peek("b") is None
    assert (cache.peek("a"), cache.peek("c")) == (1, 3)
    assert len(cache) == 2


def test_a_value_put_again_counts_as_used() -> None:
    cache = make(max_entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    cache.put("c", 4)
    assert (cache.peek("a"), cache.peek("b"), cache.peek("c")) == (3, None, 4)


@given(st.lists(st.tuples(st.sampled_from("pgd"), st.integers(0, 9)), max_size=80), st.integers(0, 5))
def test_it_never_holds_more_than_its_room(steps: list[tuple[str, int]], room: int) -> None:
    cache = make(max_entries=room)
    model: dict[int, int] = {}  # insertion order = order of use
    for step, key in steps:
        if step == "p":
            cache.put(key, key * 10)
            model.pop(key, None)
            model[key] = key * 10
            while len(model) > room:
                del model[next(iter(model))]
        elif step == "g":
            assert cache.peek(key) == model.get(key)
            if key in model:
                model[key] = model.pop(key)
        else:
            cache.discard(key)
            model.pop(key, None)
        assert len(cache) == len(model) <= room


@pytest.mark.gen_test
async def test_get_many_fetches_only_what_is_missing() -> None:
    source = Source("v")
    cache = make()
    cache.put("b", "held")
    assert await cache.get_many(["a", "b", "c", "a"], source.fetch_many) == {
        "a": "v-a",
        "b": "held",
        "c": "v-c",
    }
    assert source.asked == [["a", "c"]]
    assert await cache.get_many(["c", "b", "a"], source.fetch_many) == {"a": "v-a", "b": "held", "c": "v-c"}
    assert len(source.asked) == 1


@pytest.mark.gen_test
async def test_get_many_of_nothing_asks_nobody() -> None:
    source = Source()
    assert await make().get_many([], source.fetch_many) == {}
    assert source.asked == []


@pytest.mark.gen_test
async def test_overlapping_get_many_share_lookups() -> None:
    gate = asyncio.Event()
    source = Source("v", gate=gate)
    cache = make()
    first = asyncio.create_task(cache.get_many(["a", "b"], source.fetch_many))
    await settle()
    second = asyncio.create_task(cache.get_many(["b", "c"], source.fetch_many))
    third = asyncio.create_task(cache.get("c", source.fetch))
    await settle()
    gate.set()
    assert await first == {"a": "v-a", "b": "v-b"}
    assert await second == {"b": "v-b", "c": "v-c"}
    assert await third == "v-c"
    assert source.asked == [["a", "b"], ["c"]]


@pytest.mark.gen_test
async def test_get_many_leaves_out_what_fetch_does_not_know() -> None:
    async def know_only_a(keys: list[str]) -> Mapping[str, object]:
        return {"a": 1}

    cache = make()
    assert await cache.get_many(["a", "b"], know_only_a) == {"a": 1}
    assert cache.peek("b") is None


@pytest.mark.gen_test
async def test_get_asks_itself_when_the_joined_get_many_did_not_know_the_key() -> None:
    gate = asyncio.Event()

    async def know_only_a(keys: list[str]) -> Mapping[str, object]:
        await gate.wait()
        return {"a": 1}

    cache = make()
    many = asyncio.create_task(cache.get_many(["a", "b"], know_only_a))
    await settle()
    one = asyncio.create_task(cache.get("b", Source(2).fetch))
    await settle()
    gate.set()
    assert (await many, await one) == ({"a": 1}, 2)


@pytest.mark.gen_test
async def test_get_many_fails_when_a_joined_lookup_fails() -> None:
    gate = asyncio.Event()
    failing = Source(ConnectionError("gone"), gate=gate)
    endless = Source(gate=asyncio.Event())
    cache = make()
    joined = asyncio.create_task(cache.get("a", failing.fetch))
    await settle()
    many = asyncio.create_task(cache.get_many(["a", "b"], endless.fetch_many))
    await settle()
    gate.set()
    outcomes = await asyncio.gather(joined, many, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 2
    await settle()
    assert endless.cancelled == 1  # nobody waits for the rest


@pytest.mark.gen_test
async def test_cancelling_one_get_many_leaves_shared_keys_to_the_other() -> None:
    gate = asyncio.Event()
    source = Source("v", gate=gate)
    cache = make()
    first = asyncio.create_task(cache.get_many(["a", "b"], source.fetch_many))
    await settle()
    second = asyncio.create_task(cache.get_many(["b", "c"], source.fetch_many))
    await settle()
    first.cancel()
    await settle()
    gate.set()
    assert await second == {"b": "v-b", "c": "v-c"}
    assert source.cancelled == 0


@pytest.mark.gen_test
async def test_get_many_values_have_their_own_ttl() -> None:
    cache = make()
    await cache.get_many(["a"], Source("v").fetch_many, ttl_seconds=lambda _: 0.0)
    assert len(cache) == 0


@pytest.mark.gen_test
async def test_hits_misses_evictions_and_ages_are_counted() -> None:
    now = 100.0
    cache = make(max_entries=1, clock=lambda: now)
    await cache.get("a", Source().fetch)
    await cache.get("a", Source().fetch)
    now = 103.0
    cache.peek("a")
    cache.peek("nothing")
    await cache.get_many(["a", "b"], Source("v").fetch_many)
    assert cache.counts == CacheCounts(hits=3, misses=2, evictions=1, hit_age_seconds=6.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=20))
def test_any_mix_of_callers_and_cancellations_ends_with_one_lookup_per_key(
    callers: list[tuple[int, bool]],
) -> None:
    """Callers (key, leaves early) of one turn: each key is looked up once, the faithful ones get its value."""

    async def scenario() -> None:
        gate = asyncio.Event()
        sources = {key: Source(f"v{key}", gate=gate) for key, _ in callers}
        cache = make()
        tasks = [asyncio.create_task(cache.get(key, sources[key].fetch)) for key, _ in callers]
        await settle()
        for task, (_, leaves) in zip(tasks, callers, strict=True):
            if leaves:
                task.cancel()
        await settle()
        gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome, (key, leaves) in zip(outcomes, callers, strict=True):
            assert isinstance(outcome, asyncio.CancelledError) if leaves else outcome == f"v{key}"
        for key, source in sources.items():
            assert source.calls == 1
            deserted = all(leaves for other, leaves in callers if other == key)
            assert source.cancelled == deserted
            assert (cache.peek(key) is None) == deserted

    asyncio.run(scenario())
