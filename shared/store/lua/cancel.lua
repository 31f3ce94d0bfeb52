-- Ends an invocation that does not run, or asks the worker to end one that does.
--
-- KEYS[1] record
-- KEYS[2] log
-- KEYS[3] pins by deploy
-- KEYS[4] outbox of callbacks
-- ARGV[1] token of this call, so that a repetition by the driver is known
-- ARGV[2] allowed moves
-- ARGV[3] retention of a cancelled record, ms
-- ARGV[4] channel on which workers listen
-- ARGV[5] invocation's ID, the message on it
--
-- Result: {"cancelled", state} with the state after the call, {"finished",
-- state} if it was terminal before, or {"missing"}.
--
-- Atomic: a running invocation keeps the request in its record, so it is not
-- lost with the message or with the worker.
local record, log, pins = KEYS[1], KEYS[2], KEYS[3]
local state, cancel = unpack(redis.call('HMGET', record, 'state', 'cancel'))
if not state then
  return {'missing'}
end
if not may(state, 'cancelled', ARGV[2]) then
  if cancel == ARGV[1] then
    return {'cancelled', state}
  end
  return {'finished', state}
end

redis.call('HSET', record, 'cancel', ARGV[1])
if state == 'running' then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
  return {'cancelled', state}
end
enter(record, log, pins, 'cancelled', now(), ARGV[3])
return {'cancelled', 'cancelled'}
