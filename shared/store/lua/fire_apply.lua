-- Step, apply: moves the cursor of a schedule to a tick, enters it into the
-- ledger and counts it.
--
-- KEYS[1…6], ARGV[1…9] as in fire_check.lua
-- ARGV[10] outcome: "fired" or "caught_up"
-- ARGV[11] ticks that the schedule has from the cursor on up to this one
-- ARGV[12] invocation ID
-- ARGV[13] how many entries a ledger keeps, about
--
-- Atomic with the script that it rides in. The list bounds, upper bounds of
-- lateness in ms, is put before it.
local lateness = late(ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[4], ARGV[6], ARGV[12])
enter(KEYS[5], ARGV[13], ARGV[3], ARGV[10], lateness, '1', '0', ARGV[12])
tally(KEYS[6], 'due', tonumber(ARGV[11]))
if ARGV[10] == 'fired' then -- which the buckets of lateness add up to
  local bound = 'more'
  for _, ms in ipairs(bounds) do
    if lateness <= ms then
      bound = ms
      break
    end
  end
  tally(KEYS[6], 'late:' .. bound, 1)
  tally(KEYS[6], 'late:sum', lateness)
else
  tally(KEYS[6], ARGV[10], 1)
end
