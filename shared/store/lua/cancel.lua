-- Ends an invocation that does not run, or asks the worker to end one that does.
--
-- KEYS, ARGV[1…2] see record.lua
-- ARGV[3] token of this call, so that a repetition by the driver is known
-- ARGV[4] retention of a cancelled record, ms
-- ARGV[5] channel on which workers listen
-- ARGV[6] invocation's ID, the message on it
--
-- Result: {"cancelled", state} with the state after the call, {"finished",
-- state} if it was terminal before, or {"missing"}.
--
-- Atomic: a running invocation keeps the request in its record, so it is not
-- lost with the message or with the worker.
local state, cancel = unpack(redis.call('HMGET', record, 'state', 'cancel'))
if not state then
  return {'missing'}
end
if not may(state, 'cancelled') then
  if cancel == ARGV[3] then
    return {'cancelled', state}
  end
  return {'finished', state}
end

redis.call('HSET', record, 'cancel', ARGV[3])
if state == 'running' then
  redis.call('PUBLISH', ARGV[5], ARGV[6])
  return {'cancelled', state}
end
enter(state, 'cancelled', now(), ARGV[4])
return {'cancelled', 'cancelled'}
