-- Reads a token.
--
-- KEYS[1] tokens by ID, as token_create.lua writes them
-- KEYS[2] when tokens were used last, by ID
-- ARGV[1] ID
--
-- Result: the token, or "" if there is none; when it was used last, ms, or "";
-- and now, ms: by Redis's clock, so that a token ends for all gateways at once.
--
-- Atomic. It changes nothing.
local t = redis.call('TIME')
return {
  redis.call('HGET', KEYS[1], ARGV[1]) or '',
  redis.call('HGET', KEYS[2], ARGV[1]) or '',
  string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)),
}
