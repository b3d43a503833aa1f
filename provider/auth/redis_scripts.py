"""The nonce rule as a Lua script in Redis: one atomic step with the decisions of `nonce_rule.py`, on the same texts.

Numbers are texts that sort (`nonce_order.py`). The script does no arithmetic: the caller computes the window's end.
"""

from provider.auth.nonce_rule import MAX_MESSAGES, MAX_RECENT
from provider.redis.client import Script

# KEYS
#   1 the hash of the address
#   2 the sorted set in which version 3.0 kept its window
#   3 the epoch of the store; absent in a cluster
# ARGV
#   1 the expected epoch; empty if the caller does not know it yet
#   2 the nonce, as `sortable`
#   3 the nonce, as sent
#   4 the lowest free nonce if this one is the greatest, as `sortable`; empty for a kind without a window
#   5 the digest of an open text; empty if there is none
#   6 the highest counter of the open text
#   7 `1` if the open text may be the first one of an address
#   8 `1` if it is unknown which lower nonces were used
#   9 the bound that the first nonce of an unknown address must exceed, as `sortable`; empty if there is none
#  10 our clock in milliseconds
# Fields of the hash
#   `order`, `text`: the greatest nonce, as `sortable` and as sent
#   `oldest`: the lowest free nonce, as `sortable`
#   `floor`, `recent`, `messages`, `marks`: as in `nonce_rule.Held`. A further mark `b`: the address was unknown when
#     the store had been emptied, so that all its nonces must exceed the bound of the epoch
#   `large`, `large_text`: the greatest large nonce, as `sortable` and as sent
#   `known`: `order` as this script wrote it. If they differ, another version wrote `order`, and nothing is known of
#     lower nonces
# Replies
#   `+` used; `-` and the greatest nonce: refused; `!`: the store has another epoch
_RULE = """
local given, text, oldest = ARGV[2], ARGV[3], ARGV[4]
local digest, highest, may_begin, unknown_past, least = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8] == '1', ARGV[9]
if KEYS[3] then
  local epoch = redis.call('GET', KEYS[3])
  if ARGV[1] ~= '' and epoch ~= ARGV[1] then return '!' end
  if ARGV[1] == '' and epoch and string.sub(epoch, -2) ~= ' 0' then return '!' end
end
local function kind(order)
  local size = string.sub(order, 1, 1) == '1' and tonumber(string.sub(order, 2, 4)) or 0
  local first = string.sub(order, 5, 6)
  if size < 10 or (size == 10 and first < '15') then return 'c' end
  if (size == 10 or size == 13 or size == 16 or size == 19) and first >= '15' and first < '41' then
    return tostring(size)
  end
  return 'f' .. size
end
local held = redis.call('HMGET', KEYS[1], 'order', 'text', 'oldest', 'floor', 'recent', 'messages', 'large',
  'large_text', 'marks', 'known')
local order, messages, large, marks = held[1] or '', held[6] or '', held[7] or '', held[9] or ''
local floor, recent = held[4] or '', held[5] or ''
local refused = '-' .. (held[2] or held[8] or '')
if order ~= '' and not string.find(order, '^[01]%d%d%d%d*$') then return refused end
if order ~= (held[10] or '') then
  floor, recent, marks = order, '', (string.gsub(marks, 'p', ''))
  redis.call('DEL', KEYS[2])
  if order ~= '' and string.sub(kind(order), 1, 1) == 'f' then
    if order > large then large, held[8] = order, held[2] end
    order, marks = string.format('1%03d', #ARGV[10]) .. ARGV[10], marks .. 'p'
    floor, held[3] = order, ''
    redis.call('HSET', KEYS[1], 'order', order, 'text', ARGV[10], 'known', order, 'oldest', '', 'floor', floor,
      'recent', '', 'marks', marks, 'large', large, 'large_text', held[8])
  end
end
local is_new = order == '' and large == ''
if least ~= '' and (is_new or string.find(marks, 'b', 1, true)) then
  if given <= least then return '-' .. (held[2] or string.sub(least, 5)) end
  if is_new then floor, marks = least, 'b' end
end
local given_kind = kind(given)
local is_large = string.sub(given_kind, 1, 1) == 'f'
if is_large and held[8] then refused = '-' .. held[8] end
local settled = order ~= '' and not string.find(marks, 'p', 1, true)
if digest ~= '' then
  if string.find(messages, ' ' .. digest .. ':', 1, true) then return refused end
  local readable
  if is_large then
    readable = not settled and large ~= '' and given_kind == kind(large)
  elseif settled then
    readable = not string.find(marks, 'l', 1, true)
      and (given_kind == kind(order) or (kind(order) == 'c' and may_begin))
  else
    readable = large == '' and order == '' and may_begin
  end
  if not readable then return refused end
end
local function first_of(items)
  local cut = string.find(items, ' ', 2, true)
  if cut then return string.sub(items, 2, cut - 1), string.sub(items, cut) end
  return string.sub(items, 2), ''
end
local function bound()
  while #recent > MAX_RECENT do floor, recent = first_of(recent) end
end
local changes = {}
local function change(name, value)
  changes[#changes + 1] = name
  changes[#changes + 1] = value
end
if is_large then
  if large ~= '' and given <= large then return refused end
  change('large', given)
  change('large_text', text)
  if digest ~= '' and not string.find(marks, 'l', 1, true) then change('marks', marks .. 'l') end
elseif order == '' or given > order then
  if unknown_past then
    floor, recent = given, ''
  elseif oldest ~= '' and (order == '' or given_kind == kind(order)) then
    if order ~= '' then recent = recent .. ' ' .. order end
    while recent ~= '' do
      local first, rest = first_of(recent)
      if first >= oldest then break end
      recent = rest
    end
    bound()
  else
    floor, recent = order, ''
  end
  order = given
  change('order', order)
  change('text', text)
  change('known', order)
  change('oldest', oldest)
  change('floor', floor)
  change('recent', recent)
  change('marks', (string.gsub(marks, 'p', '')))
elseif oldest ~= '' and given_kind == kind(order) then
  local young = held[3] and held[3] ~= '' and given >= held[3]
  if not young or given <= floor or given == order or string.find(recent .. ' ', ' ' .. given .. ' ', 1, true) then
    return refused
  end
  local before, rest = '', recent
  while rest ~= '' do
    local first, others = first_of(rest)
    if first > given then break end
    before, rest = before .. ' ' .. first, others
  end
  recent = before .. ' ' .. given .. rest
  bound()
  change('floor', floor)
  change('recent', recent)
else
  return refused
end
if digest ~= '' then
  messages = messages .. ' ' .. digest .. ':' .. highest
  while #messages > MAX_MESSAGES do
    local first
    first, messages = first_of(messages)
    local top = string.sub(first, (string.find(first, ':', 1, true)) + 1)
    if top > order and order ~= '' and kind(order) == 'c' then
      order = top
      change('order', order)
      change('known', order)
      local digits = string.sub(top, 5)
      change('text', digits == '' and '0' or digits)
    end
  end
  change('messages', messages)
end
redis.call('HSET', KEYS[1], unpack(changes))
return '+'
"""
USE = Script(_RULE.replace("MAX_RECENT", str(MAX_RECENT)).replace("MAX_MESSAGES", str(MAX_MESSAGES)), "nonce")
