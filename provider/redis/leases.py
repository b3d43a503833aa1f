"""How many streams a consumer has over all hosts: each holds a lease in Redis, which ends by itself with its host."""

import asyncio
import secrets
from collections.abc import Sequence

from provider.errors import StoreError, TooManyStreams
from provider.redis.client import RedisClient, Script

LEASE_SECONDS = 30

# KEYS: sorted set of a consumer's leases, by the time of the server when they end. ARGV: seconds of a lease, greatest
# number, lease.
_ACQUIRE = Script(
    """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[3])
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[1]))
return 1
""",
    "leases",
)
# ARGV: seconds of a lease, then the leases. One that ran out while Redis was away comes back.
_RENEW = Script(
    """
local ends = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[1])
for place = 2, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[place]) end
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[1]))
return 1
""",
    "leases",
)
_RELEASE = Script("return redis.call('ZREM', KEYS[1], ARGV[1])", "leases")


class StreamLeases:
    """Leases of this worker. While Redis is away streams are admitted without: each worker's own limit holds."""

    def __init__(
        self, client: RedisClient, *, prefix: str, max_streams_per_consumer: int, lease_seconds: int = LEASE_SECONDS
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._max_streams = max_streams_per_consumer
        self._lease_seconds = lease_seconds
        self._held: dict[str, set[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def acquire(self, consumer: str) -> str | None:
        """A lease for one more stream of a checksummed address, None when Redis is away. Raises TooManyStreams."""
        lease = secrets.token_hex(8)
        arguments = (self._lease_seconds, self._max_streams, lease)
        try:
            granted = await self._client.ask(_ACQUIRE.call([self._key(consumer)], arguments))
        except StoreError:
            return None
        if not granted:
            raise TooManyStreams
        self._held.setdefault(consumer, set()).add(lease)
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew_for_ever())
        return lease

    def release(self, consumer: str, lease: str) -> None:
        """The stream ended; Redis hears of it soon, or forgets the lease by itself."""
        leases = self._held.get(consumer, set())
        leases.discard(lease)
        if not leases:
            self._held.pop(consumer, None)
        task = asyncio.get_running_loop().create_task(self._release(consumer, lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let go of the leases of streams that were cut; the link stays open."""
        if self._renewing is not None:
            self._renewing.cancel()
        for consumer, leases in list(self._held.items()):
            for lease in list(leases):
                self.release(consumer, lease)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _release(self, consumer: str, lease: str) -> None:
        try:
            await self._client.ask(_RELEASE.call([self._key(consumer)], [lease]))
        except StoreError:
            return

    async def _renew_for_ever(self) -> None:
        while True:
            # A third, so that a lease lives through a renewal that failed.
            await asyncio.sleep(self._lease_seconds / 3)
            held = [(consumer, sorted(leases)) for consumer, leases in self._held.items()]
            await asyncio.gather(*(self._renew(consumer, leases) for consumer, leases in held))

    async def _renew(self, consumer: str, leases: Sequence[str]) -> None:
        try:
            await self._client.ask(_RENEW.call([self._key(consumer)], [self._lease_seconds, *leases]))
        except StoreError:
            return

    def _key(self, consumer: str) -> str:
        return f"{self._prefix}:{{{consumer}}}:streams"
