"""The nonce rule as Redis runs it: one atomic step, the same decisions as `nonce_rule.py`, on the same texts.

Numbers come as texts that sort (`nonce_order.py`); the sum that a window needs is done before and passed in.
"""

from provider.auth.nonce_rule import MAX_MESSAGES, MAX_RECENT
from provider.redis.client import Script

# KEYS: hash of the address, the sorted set that version 3.0 kept of its window, and, unless they live in a cluster,
# the epoch of the store.
# ARGV: the epoch that is expected, empty where the caller does not know it yet; the nonce to sort by and its text; the
# oldest nonce that is free below it, empty for a kind without a window; digest and highest counter of an open text, the
# first empty where there is none; `1` where an address may begin with it; `1` where nobody knows the nonces below; what
# an address that is not known must exceed, to sort by, empty for no such bound; and our clock in milliseconds.
# The hash: `order` and `text` of the greatest nonce, `oldest` that is free below it, and of `nonce_rule.Held` `floor`,
# `recent`, `messages`, `large` (to sort by) with `large_text`, and `marks`. `known` is `order` as this script wrote
# it: where they differ, another version wrote it, and nothing is known of the nonces below. A mark `b` stands on an
# address that was not known when the store had been emptied: all its nonces have the bound of the epoch.
# Replies: `+`; `-` and the greatest nonce; `!` where the epoch is another one.
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
