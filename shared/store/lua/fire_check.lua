-- Step, check: may this term advance the cursor of a schedule to a tick?
--
-- KEYS[1] term
-- KEYS[2] cursors by schedule key
-- ARGV[1] term of the caller
-- ARGV[2] schedule key
-- ARGV[3] tick, ms
--
-- Result: 1, or FireSuperseded, FireUnknown, FireAlready, in this order.
--
-- Atomic with the script that it rides in. A term other than the newest is
-- refused, also one that Redis does not remember: after a loss of data the
-- leader has to begin a term again, and no two leaders are ever taken for one.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -2
end
local cursor = redis.call('HGET', KEYS[2], ARGV[2])
if not cursor then
  return -3
end
if tonumber(cursor) >= tonumber(ARGV[3]) then
  return -1
end
return 1
