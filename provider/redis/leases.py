"""Limits a consumer's streams across all hosts: each holds a lease in Redis, which ends by itself with its host."""

import asyncio
import secrets
from collections.abc import Sequence

from provider.errors import StoreError, TooManyStreams
from provider.redis.client import RedisClient, Script

LEASE_SECONDS = 30

# KEYS: a consumer's leases, as a sorted set by the end of each (server time). ARGV: seconds of a lease, maximum number
# of leases, the new lease.
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
# ARGV: seconds of a lease, then the leases. A lease that ran out while Redis was unreachable comes back.
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
    """The leases of this worker. While Redis is unreachable, streams are admitted without one; each worker's own limit
    holds.
    """

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
        """Acquire a lease for one more stream of a checksummed address; None if Redis is unreachable. Raises
        TooManyStreams.
        """
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
        """Release the lease of a stream that ended, in the background. If that fails, the lease expires by itself."""
        leases = self._held.get(consumer, set())
        leases.discard(lease)
        if not leases:
            self._held.pop(consumer, None)
        task = asyncio.get_running_loop().create_task(self._release(consumer, lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Release the leases of streams that were cut. The client stays open."""
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
            # A third of the lease, so that it survives one failed renewal.
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
