-- Notes that a token was used.
--
-- KEYS[1] tokens by ID
-- KEYS[2] when tokens were used last, by ID
-- ARGV[1] ID
--
-- Result: "noted", or "unknown" if there is no such token.
--
-- Atomic: of a token that was revoked meanwhile nothing stays behind. Idempotent.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 'unknown'
end
local t = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
return 'noted'
