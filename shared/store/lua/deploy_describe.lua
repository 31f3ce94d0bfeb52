-- Says what a deploy consists of.
--
-- KEYS[1] deploy
-- KEYS[2] names of blobs that the deploy waits for
-- ARGV[1] state of a deploy that is not described yet
-- ARGV[2] state of one that is
-- ARGV[3] deploy as JSON
-- ARGV[4] its summary as JSON
-- ARGV[5] its environment, sealed; empty: none
--
-- Result: "described", "missing", or the state of a deploy that is past it.
--
-- Atomic, and idempotent. A second description, of a client that tries again,
-- takes the place of the first.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return 'missing'
end
if state ~= ARGV[1] and state ~= ARGV[2] then
  return state
end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'data', ARGV[3], 'summary', ARGV[4])
redis.call('HDEL', KEYS[1], 'env')
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'env', ARGV[5])
end
redis.call('DEL', KEYS[2])
return 'described'
