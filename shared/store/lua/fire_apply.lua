-- Step, apply: advances the cursor of a schedule to a tick.
--
-- KEYS[1] term
-- KEYS[2] cursors by schedule key
-- ARGV[1] term of the caller
-- ARGV[2] schedule key
-- ARGV[3] tick, ms
--
-- Atomic with the script that it rides in.
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
