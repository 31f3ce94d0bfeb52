-- Finds out for how long the first of a set of queued records has been waiting.
--
-- KEYS[1] set of the index with the records in it, by creation
-- KEYS[2] what the names of records begin with; it is the name of no key itself
-- ARGV[1] how many records are looked at, at most
-- ARGV[2] field with when the record may run at the earliest
-- ARGV[3] field with when it was queued again
--
-- Result: the wait in ms, 0: none waits; and Redis's clock in ms.
--
-- Atomic, and as a rule a look at one record: they are listed by their creation,
-- and none has waited for longer than it is old, so the look ends at the first
-- that is younger than the longest wait. Only records that wait for their time, or
-- were queued again, make it go on.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first = now
local entries = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #entries, 2 do
  local since = tonumber(entries[i + 1])
  if since >= first then break end
  local not_before, requeued = unpack(redis.call('HMGET', KEYS[2] .. entries[i], ARGV[2], ARGV[3]))
  since = math.max(since, tonumber(not_before or 0), tonumber(requeued or 0))
  first = math.min(first, since)
end
return {now - first, now}
