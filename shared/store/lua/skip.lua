-- Moves the cursor of a schedule past ticks that do not fire, and enters them
-- into the ledger.
--
-- KEYS[1] term
-- KEYS[2] cursors by schedule key
-- KEYS[3] ledger of the schedule
-- KEYS[4] totals of ticks
-- ARGV[1] term of the caller
-- ARGV[2] schedule key
-- ARGV[3] newest tick to skip, ms
-- ARGV[4] where the caller believes the cursor to be, ms
-- ARGV[5] oldest tick to skip, ms
-- ARGV[6] how many ticks they are
-- ARGV[7] reason
-- ARGV[8] how many entries a ledger keeps, about
--
-- Result: 1, or FireSuperseded, FireUnknown, FireAlready, in this order.
--
-- Atomic: cursor, ledger and totals move together or not at all.
local verdict = stands(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if verdict ~= 1 then
  return verdict
end
local from = 0
if ARGV[5] ~= ARGV[3] then
  from = ARGV[5]
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
enter(KEYS[3], ARGV[8], ARGV[3], 'skipped', late(ARGV[3]), ARGV[6], from, ARGV[7])
redis.call('HINCRBY', KEYS[4], 'due', ARGV[6])
redis.call('HINCRBY', KEYS[4], 'skipped', ARGV[6])
redis.call('HINCRBY', KEYS[4], 'skipped:' .. ARGV[7], ARGV[6])
return 1
