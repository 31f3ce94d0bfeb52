-- Takes a blob off the list of those that a deploy waits for.
--
-- KEYS[1] names of blobs that the deploy waits for
-- ARGV[1] how long the list is kept, ms
-- ARGV[2] name
--
-- Result: how many are left.
--
-- Atomic, so that of two last uploads at once one sees none left. Idempotent.
redis.call('SREM', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('SCARD', KEYS[1])
