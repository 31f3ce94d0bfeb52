-- Step, check: may this term fire a tick of a schedule?
--
-- KEYS[1] term
-- KEYS[2] cursors by schedule key
-- KEYS[3] pauses of the site
-- KEYS[4] what fired last, by site and function
-- KEYS[5] ledger of the schedule
-- KEYS[6] totals of ticks
-- ARGV[1] term of the caller
-- ARGV[2] schedule key
-- ARGV[3] tick, ms
-- ARGV[4] where the caller believes the cursor to be, ms
-- ARGV[5] function
-- ARGV[6] site and function
-- ARGV[7] what to do while the invocation before is not finished: "allow" or "skip"
-- ARGV[8] what the key of a record begins with
-- ARGV[9] terminal states, separated by spaces
-- ARGV[10…] see fire_apply.lua
--
-- Result: 1, or FireSuperseded, FireUnknown, FireAlready, FirePaused,
-- FireOverlap, in this order.
--
-- Atomic with the script that it rides in. The record of what fired last stands
-- in the same slot; a record that has expired was finished.
local verdict = stands(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if verdict ~= 1 then
  return verdict
end
local tick = tonumber(ARGV[3])
for from, to in string.gmatch(redis.call('HGET', KEYS[3], ARGV[5]) or '', '(%d+)%-(%d*)') do
  if to == '' or tonumber(from) < tick and tick <= tonumber(to) then
    return -9
  end
end
if ARGV[7] == 'skip' then
  local last = redis.call('HGET', KEYS[4], ARGV[6])
  local state = last and redis.call('HGET', ARGV[8] .. last, 'state')
  if state and not string.find(' ' .. ARGV[9] .. ' ', ' ' .. state .. ' ', 1, true) then
    return -8
  end
end
return 1
