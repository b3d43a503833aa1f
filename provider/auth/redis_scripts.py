"""The nonce rule as Redis runs it: one atomic step, the same decisions as `nonce_rows.py` (`nonce_window.py` explains).

Numbers come as texts that sort (`nonce_order.py`); the sum that a window needs is done before and passed in.
"""

from provider.redis.client import Script

# KEYS: hash of the address, its window (a sorted set of equal scores, which Redis keeps in the order of its members).
# ARGV: the nonce to sort by, its text, `1` within a window, and there the oldest nonce that may be used below it
# (empty where it is no clock value).
# The hash: `order` and `text` of the greatest nonce; where it was used in a window, `oldest`, the oldest one accepted
# below it; `floor`, below which nobody knows what was used.
USE = Script(
    """
local given, text, windowed, oldest = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local held = redis.call('HMGET', KEYS[1], 'order', 'text', 'oldest', 'floor')
local greatest, floor = held[1], held[4]
local refused = '-' .. (held[2] or '')
if greatest and not string.find(greatest, '^[01]%d%d%d%d*$') then return refused end
local rises = not greatest or given > greatest
if not rises and not windowed then return refused end
if windowed and greatest then
  if not redis.call('ZSCORE', KEYS[2], greatest) then
    redis.call('DEL', KEYS[2])
    redis.call('ZADD', KEYS[2], 0, greatest)
    redis.call('HSET', KEYS[1], 'floor', greatest)
    floor = greatest
  end
  if not rises then
    local young = held[3] and given >= held[3] and not (floor and given <= floor)
    if not young or redis.call('ZSCORE', KEYS[2], given) then return refused end
  end
end
if windowed then redis.call('ZADD', KEYS[2], 0, given) end
if not rises then return '+' end
redis.call('HSET', KEYS[1], 'order', given, 'text', text)
if windowed then
  local first = oldest ~= '' and oldest or given
  redis.call('ZREMRANGEBYLEX', KEYS[2], '-', '(' .. first)
end
if windowed and oldest ~= '' then
  redis.call('HSET', KEYS[1], 'oldest', oldest)
elseif held[3] then
  redis.call('HDEL', KEYS[1], 'oldest')
end
return '+'
""",
    "nonce",
)
