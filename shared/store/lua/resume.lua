-- Ends the pause of a function's schedule.
--
-- KEYS[1] pauses of the site
-- ARGV[1] function
--
-- Result: "resumed", also if it was not paused.
--
-- Atomic, and may be repeated.
local spans = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.sub(spans, -1) == '-' then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], ARGV[1], spans .. string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
  redis.call('HDEL', KEYS[1], ARGV[1] .. '/by')
end
return 'resumed'
