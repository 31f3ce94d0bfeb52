-- Notes how a callback's request ended.
--
-- KEYS[1] record
-- KEYS[2] log
-- KEYS[3] outbox
-- KEYS[4] dead callbacks of the site
-- KEYS[5] counts
-- ARGV[1] invocation's ID
-- ARGV[2] number of the request
-- ARGV[3] time of the invocation's end
-- ARGV[4] outcome: delivered, failed or dead
-- ARGV[5] what it met, unless delivered
-- ARGV[6] delay of the next request, ms; with failed
-- ARGV[7] how long a record with an undelivered callback is kept at least from here on, ms
-- ARGV[8] the same with a dead callback, ms
-- ARGV[9] retention of a dead invocation, ms
-- ARGV[10] retention of another finished one, ms
-- ARGV[11] how long a record is kept at least once its callback is delivered, ms
-- ARGV[12] prefix of records
--
-- Result: "settled" (now, or by an earlier call whose reply was lost), "fenced"
-- if the request is not the newest one about the invocation's end, or "missing".
--
-- Atomic: the callback is in the outbox, or in the set of dead ones, or delivered.
local record, log, outbox, dead, counts = unpack(KEYS)
local id, outcome = ARGV[1], ARGV[4]
local state, finished, ended, request, settled =
  unpack(redis.call('HMGET', record, 'state', 'finished', 'callback_end', 'callback_attempts', 'callback_settled'))
if not state then
  return 'missing'
end
if finished ~= ARGV[3] or ended ~= ARGV[3] or request ~= ARGV[2] then
  return 'fenced'
end
local this = request .. ' ' .. outcome
if settled == this then
  return 'settled'
end
if settled and string.find(settled, request .. ' ', 1, true) == 1 then
  return 'fenced'
end

local at = now()
redis.call('HSET', record, 'callback_settled', this)
if outcome == 'failed' then
  redis.call('HSET', record, 'callback_error', ARGV[5])
  redis.call('ZADD', outbox, at + ARGV[6], id)
  keep(record, ARGV[7])
  keep(log, ARGV[7])
  return 'settled'
end

redis.call('ZREM', outbox, id)
redis.call('HSET', record, 'callback_state', outcome)
redis.call('HINCRBY', counts, outcome, 1)
if outcome == 'delivered' then
  redis.call('HDEL', record, 'callback_error')
  -- Kept for the callback's sake no longer, but long enough to be looked at.
  local retention = state == 'dead' and ARGV[9] or ARGV[10]
  local left = math.max(finished + retention - at, tonumber(ARGV[11]))
  redis.call('PEXPIRE', record, left)
  redis.call('PEXPIRE', log, left)
  return 'settled'
end

redis.call('HSET', record, 'callback_error', ARGV[5])
keep(record, ARGV[8])
keep(log, ARGV[8])
-- The set lasts as long as the record in it that lasts longest.
redis.call('ZADD', dead, at, id)
local left = redis.call('PTTL', record)
if redis.call('PTTL', dead) < left then
  redis.call('PEXPIRE', dead, left)
end
-- What has expired goes, a few at a time; there is nothing left to send.
for _, old in ipairs(redis.call('ZRANGE', dead, 0, 9)) do
  if redis.call('EXISTS', ARGV[12] .. old) == 0 then
    redis.call('ZREM', dead, old)
  end
end
return 'settled'
