-- Step, check: may this invocation be retried?
--
-- KEYS[1] record
-- ARGV[1] token of this call, so that a repetition by the driver is known
--
-- Result: 1, 0 if this call has done it, or NotDead, Gone.
--
-- Atomic with the script that it rides in.
local state, token = unpack(redis.call('HMGET', KEYS[1], 'state', 'retry'))
if not state then
  return -7
end
if token == ARGV[1] then
  return 0
end
if state ~= 'dead' then
  return -6
end
return 1
