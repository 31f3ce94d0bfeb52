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
local tick, outcome = string.match(redis.call('LINDEX', KEYS[2], 0) or '', '^(%d+) (%S+)')
if tick and (tonumber(tick) > tonumber(ARGV[2]) or tick == ARGV[2] and outcome == 'suppressed') then
  return 1
end
enter(KEYS[2], ARGV[3], ARGV[2], 'suppressed', late(ARGV[2]), '1', '0', '')
redis.call('HINCRBY', KEYS[3], 'suppressed', '1')
return 1
