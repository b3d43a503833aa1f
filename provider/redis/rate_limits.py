"""Shares the usage of client limits with all workers and hosts through Redis, in the background of requests.

Redis holds the time when each client's bucket will be full, by its own clock. Workers report how long ago they charged
a client, so no two clocks are compared.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provider.errors import StoreError
from provider.redis.client import RedisClient, Script
from provider.redis.connection import Reply

if TYPE_CHECKING:
    from provider.admission.shared_pace import Charge, SharedPace

log = logging.getLogger("provider.shared")

INTERVAL_SECONDS = 0.2
# Even urgent charges wait this long, so that one exchange carries many.
EARLY_SECONDS = 0.02
# Charges may reach Redis late, and in another order than they were made. Buckets in Redis hold this much more than
# local ones, so a client within its rate is never refused because of that.
SLACK_SECONDS = 0.5
# For one report: it costs some milliseconds in the worker and one in Redis.
MAX_CLIENTS = 1000
# Clients are spread over this many slots of a cluster, where those of one slot share a call. Any other Redis takes all
# clients of one kind of bucket in one call.
GROUPS = 64
_DIGEST_BYTES = 12

# KEYS: for each client, when its bucket is full (µs of the server's clock). ARGV: the slack, then for each key the age
# of its first charge, the sum of its charges, and the maximum debt (all µs). Replies how long each bucket needs to be
# full; negative if it has been full for a while. A value that is not a number was not written by us and counts as
# absent.
TAKE = Script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local slack = tonumber(ARGV[1])
local left = {}
for place, key in ipairs(KEYS) do
  local held = redis.pcall('GET', key)
  local full = type(held) == 'string' and string.find(held, '^%d+$') and tonumber(held) or 0
  local age, cost, most = tonumber(ARGV[3 * place - 1]), tonumber(ARGV[3 * place]), tonumber(ARGV[3 * place + 1])
  full = math.min(math.max(full, now - age - slack) + cost, now + most)
  local keep = math.ceil((full - now + 2 * slack) / 1000)
  if keep > 0 then redis.call('SET', key, string.format('%.0f', full), 'PX', keep) end
  left[place] = full - now
end
return left
""",
    "limits",
)


@dataclass(frozen=True, slots=True)
class _PendingCharge:
    """A charge on its way. `key`: its bucket in Redis."""

    pace: "SharedPace"
    charge: "Charge"
    key: str


class SharedLimits:
    """Reports the charges of `paces` and applies those of others. Nothing runs while no client is charged.

    Charges that cannot be reported are dropped: while Redis is unreachable each worker counts for itself, and no client
    pays for that time later. The clock of the buckets is `time.monotonic`.

    `secret`: 32 bytes that only our hosts know, so that Redis never holds readable client addresses.
    """

    def __init__(self, redis: RedisClient, *, prefix: str, secret: bytes) -> None:
        self._redis = redis
        self._prefix = prefix
        self._secret = secret
        self._paces: list[SharedPace] = []
        self._is_urgent = asyncio.Event()
        self._reporter: asyncio.Task[None] | None = None
        self._is_down = False

    def add(self, pace: "SharedPace") -> None:
        """Share one more kind of bucket."""
        self._paces.append(pace)

    def wake(self, urgent: bool) -> None:
        """Schedule a report, at once if `urgent`."""
        if urgent:
            self._is_urgent.set()
        if self._reporter is None:
            self._reporter = asyncio.get_running_loop().create_task(self._report_while_charged())

    async def close(self) -> None:
        """Stop reporting. The client stays open."""
        reporter = self._reporter
        if reporter is not None:
            reporter.cancel()
            await asyncio.wait([reporter])

    async def _report_while_charged(self) -> None:
        try:
            while any(pace.has_pending for pace in self._paces):
                await self._pause()
                await self._report()
        finally:
            self._reporter = None

    async def _pause(self) -> None:
        await asyncio.sleep(EARLY_SECONDS)
        try:
            async with asyncio.timeout(INTERVAL_SECONDS - EARLY_SECONDS):
                await self._is_urgent.wait()
        except TimeoutError:
            return

    async def _report(self) -> None:
        self._is_urgent.clear()
        groups: defaultdict[str, list[_PendingCharge]] = defaultdict(list)
        for pace in self._paces:
            for charge in pace.take(MAX_CLIENTS):
                tag, key = self._key(pace.name, charge.client)
                groups[tag if self._redis.is_cluster else pace.name].append(_PendingCharge(pace, charge, key))
        asked_at = time.monotonic()
        replies = await asyncio.gather(
            *(self._ask(group, asked_at) for group in groups.values()), return_exceptions=True
        )
        failure: StoreError | None = None
        for group, reply in zip(groups.values(), replies, strict=True):
            if isinstance(reply, StoreError):
                failure = reply
            elif isinstance(reply, BaseException):
                raise reply
            else:
                _apply(group, reply, asked_at)
        self._note(failure)

    async def _ask(self, group: Sequence[_PendingCharge], asked_at: float) -> Reply:
        arguments = [_micros(SLACK_SECONDS)]
        for pending in group:
            charge = pending.charge
            arguments += (
                _micros(asked_at - charge.since),
                _micros(charge.cost_seconds),
                _micros(pending.pace.most_seconds),
            )
        return await self._redis.ask(TAKE.call([pending.key for pending in group], arguments))

    def _key(self, name: str, client: bytes) -> tuple[str, str]:
        """Return the hash tag for a cluster, and the key."""
        digest = hashlib.blake2b(client, digest_size=_DIGEST_BYTES, key=self._secret).digest()
        tag = f"limits{digest[0] % GROUPS}"
        return tag, f"{self._prefix}:{{{tag}}}:{name}:{digest.hex()}"

    def _note(self, failure: StoreError | None) -> None:
        """Log an outage once, and its end."""
        if failure is not None and not self._is_down:
            log.warning("limits are not shared; each worker counts for itself: %s", failure.detail)
        elif failure is None and self._is_down:
            log.info("limits are shared again")
        self._is_down = failure is not None


def _apply(group: Sequence[_PendingCharge], reply: Reply, asked_at: float) -> None:
    """Count the reply from the moment of asking, which is before Redis read its clock, so never charge too much."""
    for pending, left in zip(group, reply, strict=True):
        pending.pace.apply(pending.charge.client, asked_at + left / 1e6)


def _micros(seconds: float) -> int:
    return math.floor(seconds * 1e6)
