-- Gives a deploy its environment.
--
-- KEYS[1] deploy
-- ARGV[1] state that it must be in
-- ARGV[2] the environment, sealed
--
-- Result: "frozen", "missing", or the state that it is in.
--
-- Atomic, and idempotent.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return 'missing'
end
if state ~= ARGV[1] then
  return state
end
redis.call('HSET', KEYS[1], 'env', ARGV[2])
return 'frozen'
