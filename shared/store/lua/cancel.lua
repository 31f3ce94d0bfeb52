-- Ends an invocation that does not run, or asks the worker to end one that does,
-- after record.lua.
--
-- KEYS see record.lua
-- ARGV[1] token of this call, so that a repetition by the driver is known
-- ARGV[2] retention of a cancelled record, ms
-- ARGV[3] channel on which workers listen
-- ARGV[4] invocation's ID, the message on it
--
-- Result: {"cancelled", state} with the state after the call, {"finished",
-- state} if it was terminal before, or {"missing"}.
--
-- Atomic: a running invocation keeps the request in its record, so it is not
-- lost with the message or with the worker.
local function cancel()
  local r = look(KEYS[1])
  if not r.state then
    return {'missing'}
  end
  if not may(r.state, 'cancelled') then
    if r.cancel == ARGV[1] then
      return {'cancelled', r.state}
    end
    return {'finished', r.state}
  end

  if r.state == 'running' then
    redis.call('HSET', KEYS[1], 'cancel', ARGV[1])
    redis.call('PUBLISH', ARGV[3], ARGV[4])
    return {'cancelled', r.state}
  end
  enter(KEYS, r, 'cancelled', ARGV[2], 'cancel', ARGV[1])
  return {'cancelled', 'cancelled'}
end

local answer = cancel()
