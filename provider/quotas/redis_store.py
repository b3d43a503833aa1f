"""The counts of all hosts, in Redis. One script decides and holds, by the clock of Redis."""

import asyncio
from collections.abc import Sequence

from provider.errors import StoreError
from provider.override import override
from provider.quotas.quota import DOWNLOAD, PORTION_BYTES, Amount, Body, Count, Quota, Refusal, decide, held_by
from provider.quotas.store import KEPT_SECONDS, LEASE_SECONDS, Move, QuotaStore
from provider.redis.client import RedisClient, Script
from provider.redis.pipeline import Question

_FIELDS = 5
_MOVES_AT_ONCE = 500

# KEYS: the holds as a sorted set by the end of each, then hashes of counts. A hold is also a hash: what it holds and
# has sent, and the keys of its counts.
_SHARED = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local function add(key, field, number)
  if tonumber(number) ~= 0 then redis.call('HINCRBY', key, field, text(number)) end
end
local function give_back()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
    local hold = redis.call('HMGET', KEYS[1] .. ':' .. id, 'parts', 'bytes', 'counts')
    for _, key in ipairs(cjson.decode(hold[3] or '[]')) do
      add(key, 'held_parts', 0 - hold[1])
      add(key, 'held_bytes', 0 - hold[2])
    end
    redis.call('DEL', KEYS[1] .. ':' .. id)
    redis.call('ZREM', KEYS[1], id)
  end
end
local function counts()
  local found = {}
  for place = 2, #KEYS do
    local fields = redis.call('HMGET', KEYS[place], 'parts', 'bytes', 'held_parts', 'held_bytes', 'ends_at')
    for at = 1, 5 do found[#found + 1] = tonumber(fields[at] or 0) end
  end
  return found
end
local function keep(id, parts, bytes, sent_parts, sent_bytes)
  local keys = {}
  for place = 2, #KEYS do keys[#keys + 1] = KEYS[place] end
  redis.call('HSET', KEYS[1] .. ':' .. id, 'parts', text(parts), 'bytes', text(bytes), 'sent_parts', text(sent_parts),
    'sent_bytes', text(sent_bytes), 'counts', cjson.encode(keys))
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), id)
end
"""
_COUNTS = Script(_SHARED + "give_back() return counts()", "quotas")
# ARGV: milliseconds of a lease, the hold, its parts, its bytes, 0 if fewer bytes will do, then for each
# count: limit of parts and of bytes (0 for none), its end in seconds (0 for none), seconds for which it is kept then.
_TAKE = Script(
    _SHARED
    + """
give_back()
local found = counts()
local parts, bytes, left = tonumber(ARGV[3]), tonumber(ARGV[4]), nil
local least = ARGV[5] == '1' and bytes or 1
for place = 0, #KEYS - 2 do
  local had_parts, had_bytes = found[place * 5 + 1] + found[place * 5 + 3], found[place * 5 + 2] + found[place * 5 + 4]
  local max_parts, max_bytes = tonumber(ARGV[6 + place * 4]), tonumber(ARGV[7 + place * 4])
  if max_parts > 0 and had_parts >= max_parts then return found end
  if max_bytes > 0 then
    if had_bytes + least > max_bytes then return found end
    left = math.min(left or max_bytes, max_bytes - had_bytes)
  end
end
local held = bytes
if ARGV[5] == '0' then held = math.min(bytes, left or 0) end
for place = 2, #KEYS do
  local ends_at, kept = ARGV[place * 4], tonumber(ARGV[place * 4 + 1])
  add(KEYS[place], 'held_parts', parts)
  add(KEYS[place], 'held_bytes', held)
  redis.call('HSET', KEYS[place], 'ends_at', ends_at)
  if ends_at ~= '0' then redis.call('EXPIREAT', KEYS[place], text(ends_at + kept)) end
end
local hold = redis.call('HMGET', KEYS[1] .. ':' .. ARGV[2], 'parts', 'bytes', 'sent_parts', 'sent_bytes')
keep(ARGV[2], parts + (hold[1] or 0), held + (hold[2] or 0), hold[3] or 0, hold[4] or 0)
found[#found + 1] = 1
return found
""",
    "quotas",
)
# ARGV: milliseconds of a lease, the hold, parts and bytes sent, parts and bytes noted before, parts and bytes that stay
# held, 1 for the end. The end is remembered for a lease: whoever got no reply tells it again, and it counts once. A
# report that is overtaken by the end changes nothing.
_MOVE = Script(
    _SHARED
    + """
local name = KEYS[1] .. ':' .. ARGV[2]
local hold = redis.call('HMGET', name, 'parts', 'bytes', 'sent_parts', 'sent_bytes', 'is_over')
if hold[5] and ARGV[9] == '0' then return 0 end
for place = 2, #KEYS do
  add(KEYS[place], 'parts', ARGV[3] - (hold[3] or ARGV[5]))
  add(KEYS[place], 'bytes', ARGV[4] - (hold[4] or ARGV[6]))
  add(KEYS[place], 'held_parts', ARGV[7] - (hold[1] or 0))
  add(KEYS[place], 'held_bytes', ARGV[8] - (hold[2] or 0))
end
keep(ARGV[2], ARGV[7], ARGV[8], ARGV[3], ARGV[4])
if ARGV[9] == '1' then redis.call('HSET', name, 'is_over', 1) end
return 1
""",
    "quotas",
)


class RedisQuotaStore(QuotaStore):
    """All keys have one hash tag, so that one script can change them in a cluster. Its owner closes the client."""

    def __init__(self, client: RedisClient, *, prefix: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self._client = client
        self._prefix = f"{prefix}:{{quotas}}:"
        self._lease = int(lease_seconds * 1000)

    @override
    async def counts(self, names: Sequence[str]) -> Sequence[Count]:
        return _counts(await self._client.ask(_COUNTS.call(self._keys(names), ())))

    @override
    async def take(self, hold_id: str, quotas: Sequence[Quota], body: Body, now: float) -> Refusal | Amount:
        most_bytes, is_least = (PORTION_BYTES, 0) if body.length_bytes is None else (body.length_bytes, 1)
        arguments: list[str | int] = [self._lease, hold_id, body.parts, most_bytes, is_least]
        for quota in quotas:
            limits = quota.limit.downloads * DOWNLOAD, quota.limit.bytes
            arguments += [*limits, quota.ends_at or 0, KEPT_SECONDS]
        reply = await self._client.ask(_TAKE.call(self._keys([quota.name for quota in quotas]), arguments))
        counts = _counts(reply[: _FIELDS * len(quotas)])
        if len(reply) > _FIELDS * len(quotas):
            return held_by(body, quotas, counts)
        refusal = decide(quotas, counts, body, now)
        if refusal is None:
            raise StoreError(detail="Redis refused what fits into the quotas")
        return refusal

    @override
    async def move(self, moves: Sequence[Move]) -> None:
        # Some at a time: one after the other, the reports of a busy host would outlast the leases of its holds.
        for start in range(0, len(moves), _MOVES_AT_ONCE):
            some = moves[start : start + _MOVES_AT_ONCE]
            await asyncio.gather(*(self._client.ask(self._moved(move)) for move in some))

    def _moved(self, move: Move) -> Question:
        amounts = [number for each in (move.sent, move.noted, move.rest) for number in (each.parts, each.bytes)]
        return _MOVE.call(self._keys(move.names), (self._lease, move.hold_id, *amounts, int(move.is_end)))

    @override
    async def close(self) -> None:
        pass

    def _keys(self, names: Sequence[str]) -> list[str]:
        return [f"{self._prefix}holds", *(f"{self._prefix}{name}" for name in names)]


def _counts(reply: Sequence[int]) -> Sequence[Count]:
    rows = [reply[start : start + _FIELDS] for start in range(0, len(reply), _FIELDS)]
    return [Count(Amount(row[0], row[1]), Amount(row[2], row[3]), row[4] or None) for row in rows]
