-- Step, apply: remembers the invocation that was made under an idempotency key.
--
-- KEYS[1] ID of the invocation that was made under the key
-- ARGV[1] ID of the caller's
-- ARGV[2] for how long, ms
--
-- Atomic with the script that it rides in.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
