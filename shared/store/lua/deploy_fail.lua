-- Gives a deploy up.
--
-- KEYS[1] deploy
-- ARGV[1] states that it may be in, separated by spaces
-- ARGV[2] state of a deploy that is given up
-- ARGV[3] why
--
-- Result: "failed", "missing", or the state of a deploy that is past it.
--
-- Atomic, and idempotent; the first reason stays.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return 'missing'
end
if state == ARGV[2] then
  return 'failed'
end
if not string.find(' ' .. ARGV[1] .. ' ', ' ' .. state .. ' ', 1, true) then
  return state
end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'reason', ARGV[3])
return 'failed'
