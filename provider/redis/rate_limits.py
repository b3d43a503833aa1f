"""What clients took of their limits, told to all workers and hosts through Redis, beside the requests.

Redis holds when each client's bucket will be full, by its own clock. Workers tell how long ago they charged what, so
that no two clocks are compared.
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
from provider.redis.client import RedisLink, Script
from provider.redis.connection import Reply

if TYPE_CHECKING:
    from provider.admission.shared_pace import Charge, SharedPace

log = logging.getLogger("provider.shared")

INTERVAL_SECONDS = 0.2
# Also what is urgent waits so long, so that one exchange serves many.
EARLY_SECONDS = 0.02
# Charges of one interval may reach Redis in another order than they were made, and late. Buckets there hold so much
# more than those here: whoever keeps to the rate is never refused for what the way to Redis does.
SLACK_SECONDS = 0.5
# One flush: some milliseconds for the worker, one for Redis.
MAX_CLIENTS = 1000
# Clients are spread over so many slots of a cluster; those of one slot go in one call.
GROUPS = 16
_DIGEST_BYTES = 12

# KEYS: of each client, when its bucket is full (µs of the server's clock). ARGV: slack, then for each key how long ago
# the first charge was, the charges, and the most that may be owed (µs).
# Replies how long each bucket takes to be full, less than 0 when it has been for a while. What is no number was not
# written by us, or by nobody.
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
class _Told:
    """One charge on its way. `key`: of its bucket in Redis."""

    pace: "SharedPace"
    charge: "Charge"
    key: str


class SharedLimits:
    """Tells the charges of `paces`, and them of others'. Nothing runs while nobody is charged.

    What could not be told is dropped: while Redis is away each worker counts for itself, and nobody pays for that time
    afterwards. `secret`: 32 bytes that only our hosts know, since addresses of clients are not to be read in Redis. The
    clock of the buckets is `time.monotonic`.
    """

    def __init__(self, link: RedisLink, *, prefix: str, secret: bytes) -> None:
        self._link = link
        self._prefix = prefix
        self._secret = secret
        self._paces: list[SharedPace] = []
        self._is_urgent = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._is_away = False

    def add(self, pace: "SharedPace") -> None:
        """Share one more kind of buckets."""
        self._paces.append(pace)

    def wake(self, urgent: bool) -> None:
        """There is something to tell, soon or at once."""
        if urgent:
            self._is_urgent.set()
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_while_charged())

    async def close(self) -> None:
        """Stop telling; the link stays open."""
        telling = self._telling
        if telling is not None:
            telling.cancel()
            await asyncio.wait([telling])

    async def _tell_while_charged(self) -> None:
        try:
            while any(pace.has_untold for pace in self._paces):
                await self._pause()
                await self._tell()
        finally:
            self._telling = None

    async def _pause(self) -> None:
        await asyncio.sleep(EARLY_SECONDS)
        try:
            async with asyncio.timeout(INTERVAL_SECONDS - EARLY_SECONDS):
                await self._is_urgent.wait()
        except TimeoutError:
            return

    async def _tell(self) -> None:
        self._is_urgent.clear()
        groups: defaultdict[str, list[_Told]] = defaultdict(list)
        for pace in self._paces:
            for charge in pace.take(MAX_CLIENTS):
                tag, key = self._key(pace.name, charge.client)
                groups[tag].append(_Told(pace, charge, key))
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
                _hear(group, reply, asked_at)
        self._note(failure)

    async def _ask(self, group: Sequence[_Told], asked_at: float) -> Reply:
        arguments = [_micros(SLACK_SECONDS)]
        for told in group:
            charge = told.charge
            arguments += (
                _micros(asked_at - charge.since),
                _micros(charge.cost_seconds),
                _micros(told.pace.most_seconds),
            )
        return await self._link.ask(TAKE.call([told.key for told in group], arguments))

    def _key(self, name: str, client: bytes) -> tuple[str, str]:
        """The hash tag of a cluster, and the key."""
        digest = hashlib.blake2b(client, digest_size=_DIGEST_BYTES, key=self._secret).digest()
        tag = f"limits{digest[0] % GROUPS}"
        return tag, f"{self._prefix}:{{{tag}}}:{name}:{digest.hex()}"

    def _note(self, failure: StoreError | None) -> None:
        """Once for each outage."""
        if failure is not None and not self._is_away:
            log.warning("limits are not shared, each worker counts for itself: %s", failure.detail)
        elif failure is None and self._is_away:
            log.info("limits are shared again")
        self._is_away = failure is not None


def _hear(group: Sequence[_Told], reply: Reply, asked_at: float) -> None:
    """The reply counts from the moment of asking, which is before Redis looked at its clock: never too much."""
    for told, left in zip(group, reply, strict=True):
        told.pace.heard(told.charge.client, asked_at + left / 1e6)


def _micros(seconds: float) -> int:
    return math.floor(seconds * 1e6)
