-- Opens the next attempt of an invocation.
--
-- KEYS, ARGV[1…2] see record.lua
-- ARGV[3] worker, as a JSON string
-- ARGV[4] token of this call, so that a repetition by the driver is known
-- ARGV[5] how many lost workers make the invocation dead
-- ARGV[6] failure of the last of those attempts, as JSON
-- ARGV[7] retention of a cancelled record, ms
-- ARGV[8] retention of a dead record, ms
--
-- Result: {"begun", field, value, …} with the whole record, {"finished"} if no
-- attempt may follow, or {"missing"}.
--
-- Atomic: an attempt that a dead worker left open is closed, and the invocation
-- is then running, dead or cancelled; nobody sees anything in between.
local state, number, token, cancel, crashes =
  unpack(redis.call('HMGET', record, 'state', 'attempt', 'begin', 'cancel', 'crashes'))
if not state then
  return {'missing'}
end

local function begun()
  local reply = redis.call('HGETALL', record)
  table.insert(reply, 1, 'begun')
  return reply
end
if state == 'running' and token == ARGV[4] then
  return begun()
end

local to, retention, failure = 'running', 0, ''
crashes = tonumber(crashes or 0)
if state == 'running' then
  crashes = crashes + 1
  if crashes >= tonumber(ARGV[5]) then
    to, retention, failure = 'dead', ARGV[8], ARGV[6]
  end
end
if cancel then
  to, retention, failure = 'cancelled', ARGV[7], ''
end
if not may(state, to) then
  return {'finished'}
end

local at = now()
if state == 'running' then
  close(number, at, 'worker_lost', failure)
  redis.call('HSET', record, 'crashes', crashes)
end
enter(state, to, at, retention)
if to ~= 'running' then
  return {'finished'}
end
number = redis.call('HINCRBY', record, 'attempt', 1)
note('{"n":' .. number .. ',"worker":' .. ARGV[3] .. ',"start":' .. at .. '}')
redis.call('HSETNX', record, 'started', at)
redis.call('HSET', record, 'begin', ARGV[4])
return begun()
