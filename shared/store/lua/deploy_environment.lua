-- Puts other sealed bytes in the place of a deploy's environment.
--
-- KEYS[1] deploy
-- ARGV[1] sealed bytes that are expected
-- ARGV[2] sealed bytes to store
--
-- Result: "replaced", or "other" if the deploy has other bytes, or none.
--
-- Atomic. Idempotent: a deploy that has the bytes to store already is as
-- expected, and no two values that are sealed are the same.
local now = redis.call('HGET', KEYS[1], 'env')
if now ~= ARGV[1] and now ~= ARGV[2] then
  return 'other'
end
redis.call('HSET', KEYS[1], 'env', ARGV[2])
return 'replaced'
