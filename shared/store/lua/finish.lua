-- Closes the open attempt of an invocation and moves the invocation on.
--
-- KEYS[1] record
-- KEYS[2] log
-- KEYS[3] pins by deploy
-- KEYS[4] outbox of callbacks
-- ARGV[1] attempt number
-- ARGV[2] outcome
-- ARGV[3] state to move to
-- ARGV[4] failure as JSON, or empty
-- ARGV[5] result as JSON, or empty; kept with state succeeded only
-- ARGV[6] delay of the next attempt, ms; used with state failed only
-- ARGV[7] 1 if the attempt counts against the retry limit, else 0
-- ARGV[8] allowed moves
-- ARGV[9] retention in the state to move to, ms; 0 if it is not terminal
-- ARGV[10] retention of a cancelled record, ms
--
-- Result: "finished" (now, or by an earlier call with the same outcome whose
-- reply was lost), "fenced", "forbidden" or "missing".
--
-- Atomic: the attempt is closed and the state moved together, or neither. Only
-- the newest attempt, while it is open, can do it.
local record, log, pins = KEYS[1], KEYS[2], KEYS[3]
local state, number, outcome, cancel =
  unpack(redis.call('HMGET', record, 'state', 'attempt', 'outcome', 'cancel'))
if not state then
  return 'missing'
end
if number ~= ARGV[1] then
  return 'fenced'
end
if state ~= 'running' then
  if outcome == ARGV[2] then
    return 'finished'
  end
  return 'fenced'
end

local to, retention = ARGV[3], ARGV[9]
-- Somebody was promised an end: where another attempt would follow, none does.
if cancel and may(to, 'running', ARGV[8]) then
  to, retention = 'cancelled', ARGV[10]
end
if not may(state, to, ARGV[8]) then
  return 'forbidden'
end

local at = now()
close(record, number, at, ARGV[2], ARGV[4])
if ARGV[7] == '1' then
  redis.call('HINCRBY', record, 'failures', 1)
end
enter(record, log, pins, to, at, retention)
if to == 'failed' then
  redis.call('HSET', record, 'next', at + ARGV[6])
end
if to == 'succeeded' and ARGV[5] ~= '' then
  redis.call('HSET', record, 'result', ARGV[5])
end
return 'finished'
