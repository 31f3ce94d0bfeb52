-- Step, check: has a site room for one more queued invocation?
--
-- KEYS[1] what the names of the index's sets begin with
-- ARGV[1] site
-- ARGV[2] most queued invocations that it may have
--
-- Result: 1, or Full.
--
-- Atomic with the script that it rides in.
if population(KEYS[1] .. 'queued:' .. ARGV[1]) >= tonumber(ARGV[2]) then
  return -5
end
return 1
