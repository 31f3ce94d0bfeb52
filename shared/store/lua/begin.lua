-- Opens the next attempt of an invocation.
--
-- KEYS[1] record
-- KEYS[2] log
-- KEYS[3] pins by deploy
-- KEYS[4] outbox of callbacks
-- ARGV[1] worker, as a JSON string
-- ARGV[2] token of this call, so that a repetition by the driver is known
-- ARGV[3] allowed moves
-- ARGV[4] how many lost workers make the invocation dead
-- ARGV[5] retention of a cancelled record, ms
-- ARGV[6] retention of a dead record, ms
--
-- Result: {"begun", field, value, …} with the whole record, {"finished"} if no
-- attempt may follow, or {"missing"}.
--
-- Atomic: an attempt that a dead worker left open is closed, and the invocation
-- is then running, dead or cancelled; nobody sees anything in between.
local record, log, pins = KEYS[1], KEYS[2], KEYS[3]
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
if state == 'running' and token == ARGV[2] then
  return begun()
end

local to, retention = 'running', 0
crashes = tonumber(crashes or 0)
if state == 'running' then
  crashes = crashes + 1
  if crashes >= tonumber(ARGV[4]) then
    to, retention = 'dead', ARGV[6]
  end
end
if cancel then
  to, retention = 'cancelled', ARGV[5]
end
if not may(state, to, ARGV[3]) then
  return {'finished'}
end

local at = now()
if state == 'running' then
  close(record, number, at, 'worker_lost', '')
  redis.call('HSET', record, 'crashes', crashes)
end
enter(record, log, pins, to, at, retention)
if to ~= 'running' then
  return {'finished'}
end
number = redis.call('HINCRBY', record, 'attempt', 1)
note(record, '{"n":' .. number .. ',"worker":' .. ARGV[1] .. ',"start":' .. at .. '}')
redis.call('HSETNX', record, 'started', at)
redis.call('HSET', record, 'begin', ARGV[2])
return begun()
