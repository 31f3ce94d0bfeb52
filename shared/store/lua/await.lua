-- Notes the blobs that a deploy waits for.
--
-- KEYS[1] names of blobs that the deploy waits for
-- ARGV[1] how long the list is kept, ms
-- ARGV[2…] names
--
-- Result: how many it waits for.
--
-- Atomic, and idempotent: a set.
for i = 2, #ARGV do
  redis.call('SADD', KEYS[1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('SCARD', KEYS[1])
