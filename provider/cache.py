"""A bounded cache of facts: a key and a function that fetches its value in, the value out.

The least recently used value leaves first: beyond a number of values, and where wanted beyond their bytes. Each value
has its own lifetime. Only one lookup per key is in flight, and failures are never kept. Not thread-safe: one event loop
owns a cache.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, NamedTuple, TypeVar

from provider.setting import integer, seconds

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Size and lifetime of one cache, as `FactCache` has them. `max_bytes` None: its values are small."""

    max_entries: int
    ttl_seconds: float
    max_bytes: int | None = None


def _lifetime(name: str, default: float, *, help: str) -> float:
    variable = f"PROVIDER_CACHE_{name}_SECONDS"
    return seconds(variable, default, minimum=0, maximum=86_400, help=help)


def _size(name: str, default: int, *, help: str) -> int:
    return integer(f"PROVIDER_CACHE_{name}_ENTRIES", default, minimum=1, maximum=10_000_000, help=help)


def _memory(name: str, default: int, *, help: str) -> int:
    return integer(f"PROVIDER_CACHE_{name}_BYTES", default, minimum=1 << 20, maximum=1 << 40, help=help)


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Lifetime and size of each cache of facts."""

    SECTION: ClassVar = "cache"

    ddo_seconds: float = _lifetime("DDO", 60, help="How long a DDO is kept.")
    ddo_entries: int = _size("DDO", 2_000, help="DDOs kept.")
    ddo_bytes: int = _memory(
        "DDO",
        64 << 20,
        help="Memory that the kept DDOs may take in each worker. A DDO takes 1 to 2 KB plus its whole text. One that "
        "takes more than an eighth of this is not kept.",
    )
    state_seconds: float = _lifetime(
        "STATE",
        30,
        help="How long NFT states and owners, deployments and memberships (factory, access lists) are kept.",
    )
    state_entries: int = _size("STATE", 20_000, help="Entries of each of these caches.")
    receipt_seconds: float = _lifetime("RECEIPT", 3600, help="How long receipts below the finality depth are kept.")
    receipt_entries: int = _size("RECEIPT", 20_000, help="Receipts kept.")
    receipt_bytes: int = _memory(
        "RECEIPT",
        64 << 20,
        help="Memory that the kept receipts may take in each worker. An order takes about 1.2 KB, a published document "
        "its length. A receipt that takes more than an eighth of this is not kept.",
    )
    files_seconds: float = _lifetime(
        "FILES",
        30,
        help="How long decrypted file lists are kept. They hold URLs and credentials and are zeroed when they are "
        "dropped. 0 decrypts at every request, which takes about 50 µs.",
    )
    files_entries: int = _size("FILES", 1_000, help="Decrypted file lists kept.")

    @property
    def ddo(self) -> CacheLimits:
        """Of the cache of assets."""
        return CacheLimits(self.ddo_entries, self.ddo_seconds, self.ddo_bytes)

    @property
    def state(self) -> CacheLimits:
        """Of each cache of what a transaction may change."""
        return CacheLimits(self.state_entries, self.state_seconds)

    @property
    def receipt(self) -> CacheLimits:
        """Of the cache of receipts."""
        return CacheLimits(self.receipt_entries, self.receipt_seconds, self.receipt_bytes)


@dataclass(slots=True)
class CacheCounts:
    """Counts of a cache. `hit_age_seconds`: sum of the ages of the values at their hits."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    hit_age_seconds: float = 0.0


# A value may take this part of a cache's memory, so that none drives out all others.
_LARGEST_PART = 8


class _Entry(NamedTuple, Generic[V]):
    """A value with its expiry and birth by the cache's clock, and the bytes that it takes."""

    value: V
    expires_at: float
    born_at: float
    size_bytes: int


class _Flight(Generic[K, V]):
    """One running lookup and the number of callers waiting for it."""

    __slots__ = ("keys", "task", "waiters")

    def __init__(self, keys: Iterable[K]) -> None:
        self.keys = tuple(keys)
        self.waiters = 0
        self.task: asyncio.Task[Mapping[K, V]]


class FactCache(Generic[K, V]):
    """Bounded LRU cache with a lifetime per value and one lookup in flight per key. Failures are not cached.

    If a waiting caller is cancelled, the lookup continues for the others; when the last one leaves, it is cancelled.
    A `fetch` must not ask for its own key. `None` is not a value, since `peek` returns it for a missing one.

    Args:
        name: used in metrics and errors.
        max_entries: number of values to keep; 0 keeps none.
        max_bytes: memory that they may take by `size_of`; None: any. One that takes more than an eighth is not kept.
        size_of: bytes that a value takes.
        ttl_seconds: lifetime of a value whose lookup gives none. Zero or less: hand it to the waiting callers and do
            not keep it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        max_entries: int,
        ttl_seconds: float,
        max_bytes: int | None = None,
        size_of: Callable[[V], int] = lambda _: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_entries < 0:
            raise ValueError(f"cache {name}: max_entries must not be negative")
        self.name = name
        self.max_entries = max_entries
        self.ttl_seconds = ttl_seconds
        self.counts = CacheCounts()
        self.held_bytes = 0
        """Bytes that the kept values take, by `size_of`."""
        self._max_bytes = math.inf if max_bytes is None else max_bytes
        self._size_of = size_of
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._flights: dict[K, _Flight[K, V]] = {}

    def __len__(self) -> int:
        """Number of values, including expired ones that nobody has asked for since."""
        return len(self._entries)

    def peek(self, key: K) -> V | None:
        """The live value or None, without a lookup. Counts as a hit and as a use, never as a miss."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires_at, born_at, _ = entry
        now = self._clock()
        if expires_at <= now:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        counts = self.counts
        counts.hits += 1
        counts.hit_age_seconds += now - born_at
        return value

    def is_sought(self, key: K) -> bool:
        """True if a lookup of this key is in flight, which a `get` would join."""
        return key in self._flights

    def put(self, key: K, value: V, ttl_seconds: float | None = None) -> None:
        """Keep `value` for `ttl_seconds` (None: the default). A lookup in flight does not overwrite it."""
        self._flights.pop(key, None)
        self._store(key, value, self.ttl_seconds if ttl_seconds is None else ttl_seconds)

    def all_keys(self) -> tuple[K, ...]:
        """Keys of all values and of all lookups in flight."""
        return (*self._entries, *(key for key in self._flights if key not in self._entries))

    def discard(self, key: K) -> None:
        """Forget `key`. A lookup in flight still answers the waiting callers, but its value is not kept."""
        self._flights.pop(key, None)
        self._drop(key)

    async def get(
        self,
        key: K,
        fetch: Callable[[], Awaitable[V]],
        *,
        ttl_seconds: Callable[[V], float] | None = None,
    ) -> V:
        """The live value, else that of the lookup in flight, else of `fetch()`. Errors go to all waiting callers.

        `ttl_seconds` computes the lifetime of the fetched value; None: the default.
        """
        value = self.peek(key)
        if value is not None:
            return value
        self.counts.misses += 1

        async def fetch_one(keys: list[K]) -> Mapping[K, V]:
            return {keys[0]: await fetch()}

        while True:
            flight = self._flights.get(key)
            own = flight is None
            if flight is None:
                flight = self._start([key], fetch_one, ttl_seconds)
            found = await self._wait([flight])
            if key in found or own:
                return found[key]
            # The `get_many` that we joined did not find this key; our own fetch may.

    async def get_many(
        self,
        keys: Iterable[K],
        fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]],
        *,
        ttl_seconds: Callable[[V], float] | None = None,
    ) -> dict[K, V]:
        """Values of `keys`. One `fetch` gets those that are neither cached nor in flight.

        Keys that `fetch` does not return are absent. The first failure among these lookups is raised.
        """
        found: dict[K, V] = {}
        joined: list[_Flight[K, V]] = []
        missing: list[K] = []
        wanted = dict.fromkeys(keys)
        for key in wanted:
            value = self.peek(key)
            if value is not None:
                found[key] = value
                continue
            self.counts.misses += 1
            flight = self._flights.get(key)
            if flight is None:
                missing.append(key)
            elif flight not in joined:
                joined.append(flight)
        if missing:
            joined.append(self._start(missing, fetch, ttl_seconds))
        if joined:
            fetched = await self._wait(joined)
            found.update({key: fetched[key] for key in wanted if key in fetched})
        return found

    def _start(
        self,
        keys: list[K],
        fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]],
        ttl_seconds: Callable[[V], float] | None,
    ) -> _Flight[K, V]:
        flight: _Flight[K, V] = _Flight(keys)
        self._flights.update(dict.fromkeys(keys, flight))
        flight.task = asyncio.create_task(self._fly(flight, fetch, ttl_seconds))
        # Runs before any waiting caller is woken, so a finished lookup is never joined.
        flight.task.add_done_callback(lambda task: self._land(flight, task))
        return flight

    async def _fly(
        self,
        flight: _Flight[K, V],
        fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]],
        ttl_seconds: Callable[[V], float] | None,
    ) -> Mapping[K, V]:
        found = await fetch(list(flight.keys))
        for key in flight.keys:
            # Only if the flight still owns the key: a `put` or `discard` in the meantime takes precedence.
            if key in found and self._flights.get(key) is flight:
                value = found[key]
                self._store(key, value, self.ttl_seconds if ttl_seconds is None else ttl_seconds(value))
        return found

    async def _wait(self, flights: list[_Flight[K, V]]) -> dict[K, V]:
        for flight in flights:
            flight.waiters += 1
        try:
            # asyncio.wait leaves the tasks running if this caller is cancelled.
            await asyncio.wait([flight.task for flight in flights], return_when=asyncio.FIRST_EXCEPTION)
            found: dict[K, V] = {}
            failed = [flight for flight in flights if flight.task.done() and _has_failed(flight.task)]
            for flight in failed or flights:
                found.update(flight.task.result())
            return found
        finally:
            for flight in flights:
                flight.waiters -= 1
                if not flight.waiters:
                    if not flight.task.done():
                        self._detach(flight)
                        flight.task.cancel()
                    # Its error holds the frames that it passed through, and they hold the flight.
                    del flight.task

    def _land(self, flight: _Flight[K, V], task: asyncio.Task[Mapping[K, V]]) -> None:
        self._detach(flight)
        if not task.cancelled():
            task.exception()  # marks the failure as seen, so that asyncio does not log it

    def _detach(self, flight: _Flight[K, V]) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _store(self, key: K, value: V, ttl_seconds: float) -> None:
        self._drop(key)
        if not ttl_seconds > 0 or not self.max_entries:
            return
        size_bytes = self._size_of(value)
        if size_bytes > self._max_bytes / _LARGEST_PART:
            return
        now = self._clock()
        self._entries[key] = _Entry(value, now + ttl_seconds, now, size_bytes)
        self.held_bytes += size_bytes
        while len(self._entries) > self.max_entries or self.held_bytes > self._max_bytes:
            _, gone = self._entries.popitem(last=False)
            self.held_bytes -= gone.size_bytes
            self.counts.evictions += 1

    def _drop(self, key: K) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None:
            self.held_bytes -= gone.size_bytes


def _has_failed(task: asyncio.Task[Mapping[K, V]]) -> bool:
    return task.cancelled() or task.exception() is not None
