-- Makes the set of cursors equal to a list of schedule keys.
--
-- KEYS[1] term
-- KEYS[2] cursors by schedule key
-- ARGV[1] term of the caller
-- ARGV[2…] schedule keys
--
-- Result: {"synced", key, cursor in ms, …}, or {"superseded"} if another term leads.
--
-- Atomic: no tick is fired between a drop and an addition.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'superseded'}
end
local wanted = {}
for i = 2, #ARGV do
  wanted[ARGV[i]] = true
end
for _, key in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not wanted[key] then
    redis.call('HDEL', KEYS[2], key)
  end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 2, #ARGV do
  redis.call('HSETNX', KEYS[2], ARGV[i], now)
end
local reply = redis.call('HGETALL', KEYS[2])
table.insert(reply, 1, 'synced')
return reply
