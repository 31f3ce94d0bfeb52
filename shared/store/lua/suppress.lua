-- Enters into the ledger that a tick was not fired a second time.
--
-- KEYS[1] term
-- KEYS[2] ledger of the schedule
-- KEYS[3] totals of ticks
-- ARGV[1] term of the caller
-- ARGV[2] tick, ms
-- ARGV[3] how many entries a ledger keeps, about
--
-- Result: 1, or FireSuperseded.
--
-- Atomic. The entry stands right behind the tick's own, and once: where it is
-- there already, or a later tick is, nothing is entered or counted.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -2
end
if enter(KEYS[2], ARGV[2] .. '-1', ARGV[2], ARGV[3], 'suppressed', late(ARGV[2]), 1, 0, '', false) then
  redis.call('HINCRBY', KEYS[3], 'suppressed', 1)
end
return 1
