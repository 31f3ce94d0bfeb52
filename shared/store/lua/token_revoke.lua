-- Removes a token.
--
-- KEYS[1] tokens by ID
-- KEYS[2] when tokens were used last, by ID
-- ARGV[1] ID
--
-- Result: "revoked", whether it was there or not.
--
-- Atomic, and idempotent.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 'revoked'
