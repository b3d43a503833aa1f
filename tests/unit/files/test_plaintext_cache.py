"""Plaintexts that are kept: lifetime, bounds, and that nothing of them is left behind."""

from collections.abc import Callable

import pytest

from provider.cache import CacheCounts
from provider.files.plaintext_cache import MAX_PLAINTEXT_BYTES, PlaintextCache

SECRET = b'{"url": "https://origin.test/SECRET"}'


class Time:
    """A clock, and the callbacks that wait for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def later(self, delay_seconds: float, callback: Callable[[], None]) -> None:
        self.waiting.append((self.now + delay_seconds, callback))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [callback for at, callback in self.waiting if at <= self.now]
        self.waiting = [(at, callback) for at, callback in self.waiting if at > self.now]
        for callback in due:
            callback()


def make(time: Time, *, max_entries: int = 2, ttl_seconds: float = 30.0) -> PlaintextCache:
    return PlaintextCache(max_entries=max_entries, ttl_seconds=ttl_seconds, clock=time.clock, later=time.later)


def is_zeroed(buffer: bytearray) -> bool:
    return len(buffer) > 0 and not any(buffer)


def test_a_plaintext_is_found_until_its_lifetime_ends() -> None:
    time = Time()
    cache = make(time)
    cache.put("a", bytearray(SECRET))
    time.advance(29.9)
    assert cache.get("a").plaintext == SECRET
    time.now += 0.1
    assert cache.get("a") is None
    assert cache.counts == CacheCounts(hits=1, misses=1, hit_age_seconds=pytest.approx(29.9))


def test_use_does_not_prolong_a_lifetime() -> None:
    time = Time()
    cache = make(time)
    cache.put("a", bytearray(SECRET))
    for _ in range(3):
        time.advance(10.0)
        cache.get("a")
    assert cache.get("a") is None


def test_an_expired_plaintext_is_zeroed_though_nobody_asks() -> None:
    time = Time()
    cache = make(time)
    first, second = bytearray(SECRET), bytearray(SECRET)
    cache.put("a", first)
    time.advance(10.0)
    cache.put("b", second)
    time.advance(20.0)
    assert is_zeroed(first)
    assert second == SECRET
    time.advance(10.0)
    assert is_zeroed(second)
    assert len(cache) == 0
    assert time.waiting == []


def test_the_oldest_is_pushed_out_and_zeroed() -> None:
    time = Time()
    cache = make(time)
    buffers = [bytearray(SECRET) for _ in range(3)]
    for key, buffer in enumerate(buffers):
        cache.put(key, buffer)
    assert [is_zeroed(buffer) for buffer in buffers] == [True, False, False]
    assert cache.counts == CacheCounts(evictions=1)
    assert len(cache) == 2


def test_what_was_read_of_a_plaintext_goes_with_it() -> None:
    time = Time()
    cache = make(time)
    cache.put("a", bytearray(SECRET))
    kept = cache.get("a")
    assert kept is not None
    kept.read["file"] = "https://origin.test/SECRET"
    assert "SECRET" not in repr(kept)
    time.advance(30.0)
    assert kept.read == {}
    assert is_zeroed(kept.plaintext)


def test_a_replaced_plaintext_is_zeroed() -> None:
    cache = make(Time())
    old, new = bytearray(SECRET), bytearray(SECRET)
    cache.put("a", old)
    cache.put("a", new)
    assert is_zeroed(old)
    assert cache.get("a").plaintext is new


@pytest.mark.parametrize(
    ("max_entries", "ttl_seconds", "size_bytes"),
    [(0, 30.0, 10), (2, 0.0, 10), (2, 30.0, MAX_PLAINTEXT_BYTES + 1)],
    ids=["no entries", "no lifetime", "too long"],
)
def test_what_is_not_kept_is_zeroed_at_once(max_entries: int, ttl_seconds: float, size_bytes: int) -> None:
    time = Time()
    cache = make(time, max_entries=max_entries, ttl_seconds=ttl_seconds)
    buffer = bytearray(b"x" * size_bytes)
    cache.put("a", buffer)
    assert is_zeroed(buffer)
    assert len(cache) == 0
    assert time.waiting == []


def test_close_zeroes_everything() -> None:
    cache = make(Time())
    buffers = [bytearray(SECRET), bytearray(SECRET)]
    for key, buffer in enumerate(buffers):
        cache.put(key, buffer)
    cache.close()
    assert all(is_zeroed(buffer) for buffer in buffers)
    assert len(cache) == 0


def test_a_cache_that_was_emptied_goes_on_sweeping() -> None:
    time = Time()
    cache = make(time)
    cache.put("a", bytearray(SECRET))
    cache.close()
    time.advance(40.0)
    buffer = bytearray(SECRET)
    cache.put("b", buffer)
    time.advance(30.0)
    assert is_zeroed(buffer)
