-- Closes the open attempt of an invocation and moves the invocation on.
--
-- KEYS, ARGV[1…2] see record.lua
-- ARGV[3] attempt number
-- ARGV[4] outcome
-- ARGV[5] state to move to
-- ARGV[6] failure as JSON, or empty
-- ARGV[7] result as JSON, or empty; kept with state succeeded only
-- ARGV[8] delay of the next attempt, ms; used with state failed only
-- ARGV[9] 1 if the attempt counts against the retry limit, else 0
-- ARGV[10] retention in the state to move to, ms; 0 if it is not terminal
-- ARGV[11] retention of a cancelled record, ms
--
-- Result: "finished" (now, or by an earlier call with the same outcome whose
-- reply was lost), "fenced", "forbidden" or "missing".
--
-- Atomic: the attempt is closed and the state moved together, or neither. Only
-- the newest attempt, while it is open, can do it.
local state, number, outcome, cancel =
  unpack(redis.call('HMGET', record, 'state', 'attempt', 'outcome', 'cancel'))
if not state then
  return 'missing'
end
if number ~= ARGV[3] then
  return 'fenced'
end
if state ~= 'running' then
  if outcome == ARGV[4] then
    return 'finished'
  end
  return 'fenced'
end

local to, retention = ARGV[5], ARGV[10]
-- Somebody was promised an end: where another attempt would follow, none does.
if cancel and may(to, 'running') then
  to, retention = 'cancelled', ARGV[11]
end
if not may(state, to) then
  return 'forbidden'
end

local at = now()
close(number, at, ARGV[4], ARGV[6])
if ARGV[9] == '1' then
  redis.call('HINCRBY', record, 'failures', 1)
end
enter(state, to, at, retention)
if to == 'failed' then
  redis.call('HSET', record, 'next', at + ARGV[8])
end
if to == 'succeeded' and ARGV[7] ~= '' then
  redis.call('HSET', record, 'result', ARGV[7])
end
return 'finished'
