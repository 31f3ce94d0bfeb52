-- Moves a deploy out of one state into another.
--
-- KEYS[1] deploy
-- ARGV[1] state to move from
-- ARGV[2] state to move to
--
-- Result: the state before the call, or "missing". The move was made if that is
-- ARGV[1].
--
-- Atomic.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return 'missing'
end
if state == ARGV[1] then
  redis.call('HSET', KEYS[1], 'state', ARGV[2])
end
return state
