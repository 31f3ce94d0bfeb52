-- Drops cursors of schedules and adds others.
--
-- KEYS[1] term
-- KEYS[2] cursors by schedule key
-- KEYS[3] what fired last, by site and function
-- ARGV[1] term of the caller
-- ARGV[2] what the key of a ledger begins with
-- ARGV[3] how long the ledger of a dropped schedule is kept, ms
-- ARGV[4] number of schedule keys to drop, d
-- ARGV[5] number of functions to forget, f
-- ARGV[6…] d schedule keys, f functions with their sites, schedule keys to add
--
-- Result: {"synced", cursor in ms of each schedule key to add}, or {"superseded"}
-- if another term leads. A new cursor stands at Redis's now; one that is there stays.
--
-- Atomic, and may be repeated. Ledgers stand in the same slot.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'superseded'}
end
local d, f = tonumber(ARGV[4]), tonumber(ARGV[5])
for i = 6, 5 + d do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('PEXPIRE', ARGV[2] .. ARGV[i], ARGV[3])
end
for i = 6 + d, 5 + d + f do
  redis.call('HDEL', KEYS[3], ARGV[i])
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local reply = {'synced'}
for i = 6 + d + f, #ARGV do
  if redis.call('HSETNX', KEYS[2], ARGV[i], now) == 1 then
    redis.call('PERSIST', ARGV[2] .. ARGV[i])
  end
  reply[#reply + 1] = redis.call('HGET', KEYS[2], ARGV[i])
end
return reply
