"""Facts that hosts share through Redis, behind each worker's own cache: public data, signed, each with its end of life.

If Redis fails, that is a cache miss. A value is believed only if a host with our key signed it.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from provider.cache import FactCache
from provider.errors import StoreError
from provider.override import override
from provider.redis.client import RedisClient
from provider.redis.pipeline import Question

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Part of every key: hosts of different versions must not read each other's values after a change of format.
FORMAT = "1"
MAX_FACT_BYTES = 64 * 1024
_MAC_BYTES = 16
# Pending writes; more are not worth the memory.
_MAX_WRITING = 500


@dataclass(frozen=True, slots=True)
class Codec(Generic[K, V]):
    """How one kind of fact is written.

    `name_of`: the text of a key, different for different keys.
    `pack`: makes JSON values, or None for a fact that is not shared.
    `unpack`: the reverse; raises ValueError.
    """

    name_of: Callable[[K], str]
    pack: Callable[[V], object | None]
    unpack: Callable[[object], V]


class FactStore:
    """Stores facts in Redis.

    `secret`: 32 bytes that only our hosts know.
    `clock`: unix seconds, the same on all hosts.
    """

    def __init__(
        self, client: RedisClient, *, prefix: str, secret: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._secret = secret
        self.clock = clock
        self._writing: set[asyncio.Task[None]] = set()

    async def read(self, name: str, *, max_bytes: int = MAX_FACT_BYTES) -> tuple[object, float] | None:
        """Return the JSON value and the unix second when it ends; None if there is none that can be believed."""
        key = self._key(name)
        try:
            stored = await self._client.ask(Question(key, ("GET", key), "facts"))
        except StoreError:
            return None
        if not isinstance(stored, bytes) or not _MAC_BYTES < len(stored) <= max_bytes:
            return None
        mac, payload = stored[:_MAC_BYTES], stored[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(key, payload)):
            return None
        try:
            ends_at, value = orjson.loads(payload)
        except ValueError:
            return None
        return (value, ends_at) if isinstance(ends_at, int | float) and ends_at > self.clock() else None

    def write(self, name: str, value: object, ttl_seconds: float, *, max_bytes: int = MAX_FACT_BYTES) -> None:
        """Store a JSON value in the background, unless it is longer than `max_bytes`. Failures are ignored."""
        if ttl_seconds < 1 or len(self._writing) >= _MAX_WRITING:
            return
        key = self._key(name)
        payload = orjson.dumps([self.clock() + ttl_seconds, value])
        stored = self._mac(key, payload) + payload
        if len(stored) > max_bytes:
            return
        question = Question(key, ("SET", key, stored, "EX", int(ttl_seconds)), "facts")
        self._start(question)

    def _start(self, question: Question) -> None:
        task = asyncio.get_running_loop().create_task(self._write(question))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def claim(self, name: str, seconds: float) -> bool:
        """True for the first that asks, then False for `seconds`. True if Redis does not answer."""
        key = self._key(f"claim:{name}")
        try:
            command = ("SET", key, "1", "NX", "PX", int(seconds * 1000))
            return await self._client.ask(Question(key, command, "facts")) is not None
        except StoreError:
            return True

    def erase(self, name: str) -> None:
        """Delete a value in the background. If that fails, it lasts until its end of life."""
        if len(self._writing) < _MAX_WRITING:
            key = self._key(name)
            self._start(Question(key, ("DEL", key), "facts"))

    @property
    def is_writing(self) -> bool:
        """True while something is on its way to Redis."""
        return bool(self._writing)

    async def close(self) -> None:
        """Finish writing, then close the client."""
        if self._writing:
            await asyncio.wait(self._writing)
        await self._client.close()

    async def _write(self, question: Question) -> None:
        try:
            await self._client.ask(question)
        except StoreError:
            return

    def _key(self, name: str) -> str:
        return f"{self._prefix}:fact{FORMAT}:{name}"

    def _mac(self, key: str, payload: bytes) -> bytes:
        return hashlib.blake2b(key.encode() + b"\0" + payload, digest_size=_MAC_BYTES, key=self._secret).digest()


class SharedFactCache(FactCache[K, V]):
    """A FactCache that looks in Redis before it fetches, and stores there what it fetched.

    A fact from Redis keeps the end of life that its first reader gave it, so sharing makes no fact older.
    """

    def __init__(
        self,
        facts: FactStore,
        codec: Codec[K, V],
        *,
        name: str,
        max_entries: int,
        ttl_seconds: float,
        max_bytes: int | None = None,
        size_of: Callable[[V], int] = lambda _: 0,
    ) -> None:
        super().__init__(
            name=name, max_entries=max_entries, ttl_seconds=ttl_seconds, max_bytes=max_bytes, size_of=size_of
        )
        self._facts = facts
        self._codec = codec

    @override
    def discard(self, key: K) -> None:
        super().discard(key)
        self._facts.erase(f"{self.name}:{self._codec.name_of(key)}")

    @override
    async def get(
        self,
        key: K,
        fetch: Callable[[], Awaitable[V]],
        *,
        ttl_seconds: Callable[[V], float] | None = None,
    ) -> V:
        value = self.peek(key)
        if value is not None:
            return value
        left_seconds: float | None = None

        def lifetime(fresh: V) -> float:
            seconds = self.ttl_seconds if ttl_seconds is None else ttl_seconds(fresh)
            return seconds if left_seconds is None else min(seconds, left_seconds)

        async def fetch_through() -> V:
            nonlocal left_seconds
            name = f"{self.name}:{self._codec.name_of(key)}"
            found = await self._facts.read(name)
            if found is not None:
                try:
                    shared = self._codec.unpack(found[0])
                except ValueError:
                    pass
                else:
                    left_seconds = max(0.0, found[1] - self._facts.clock())
                    return shared
            fresh = await fetch()
            packed = self._codec.pack(fresh)
            if packed is not None:
                self._facts.write(name, packed, lifetime(fresh))
            return fresh

        return await super().get(key, fetch_through, ttl_seconds=lifetime)
