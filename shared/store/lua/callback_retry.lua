-- Makes a dead callback due again, with all its tries.
--
-- KEYS[1] record
-- KEYS[2] log
-- KEYS[3] outbox
-- KEYS[4] dead callbacks of the site
-- KEYS[5] counts
-- ARGV[1] invocation's ID
-- ARGV[2] token of this call, so that a repetition by the driver is known
-- ARGV[3] how long the record is kept at least from here on, ms
--
-- Result: "again", or why not: "missing" (the record), "none" (the callback),
-- "unfinished" (the invocation), "pending" or "delivered" (the callback).
--
-- Atomic: the callback leaves the set of dead ones for the outbox. The number of
-- requests goes on, because it is the fencing token.
local record, log, outbox, dead, counts = unpack(KEYS)
local state, url, finished, ended, callback, requests, token =
  unpack(redis.call('HMGET', record, 'state', 'callback', 'finished', 'callback_end', 'callback_state', 'callback_attempts', 'callback_retry'))
if not state then
  return 'missing'
end
if not url then
  return 'none'
end
if token == ARGV[2] then
  return 'again'
end
if not finished then
  return 'unfinished'
end
if ended ~= finished or callback ~= 'dead' then
  return ended == finished and callback or 'pending'
end

redis.call('HSET', record, 'callback_state', 'pending', 'callback_base', requests, 'callback_retry', ARGV[2])
redis.call('ZREM', dead, ARGV[1])
redis.call('ZADD', outbox, now(), ARGV[1])
redis.call('HINCRBY', counts, 'retried', 1)
keep(record, ARGV[3])
keep(log, ARGV[3])
return 'again'
