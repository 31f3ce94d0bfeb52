-- Reads how many tasks a queue has, and since when the first of those that could
-- run has been able to.
--
-- KEYS[1] pending
-- KEYS[2] delayed; those that wait in lanes stand there too, see lane.lua
-- KEYS[3] active
-- KEYS[4] retry
-- KEYS[5] archived
-- KEYS[6] what the keys of tasks begin with
--
-- Result: pending, waiting, delayed, active, retry, archived; ms, 0: there is none.
--
-- Atomic: no task is counted twice, or missed, on its way from one to the other.
local pending, delayed, active, retry, archived, tasks = unpack(KEYS)
local never = '32503680000'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = now

local head = redis.call('LINDEX', pending, -1)
local since = head and redis.call('HGET', tasks .. head, 'pending_since')
if since then oldest = math.min(oldest, math.floor(tonumber(since) / 1000000)) end
for _, key in ipairs({delayed, retry}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] then oldest = math.min(oldest, math.floor(tonumber(first[2]) * 1000)) end
end

local waiting = redis.call('ZCOUNT', delayed, never, '+inf')
return {
  redis.call('LLEN', pending), waiting, redis.call('ZCARD', delayed) - waiting,
  redis.call('LLEN', active), redis.call('ZCARD', retry), redis.call('ZCARD', archived), now - oldest,
}
