-- Pauses the schedule of a function.
--
-- KEYS[1] pauses of the site
-- ARGV[1] function
-- ARGV[2] who
-- ARGV[3] how many pauses are remembered
--
-- Result: "paused", also if it was.
--
-- Atomic, and may be repeated. The field of a function holds its pauses as
-- "from-to from-to from-" in ms, the newest last; the last one is open while the
-- schedule is paused. Those that have ended are remembered, because a tick that
-- was due in one may be dealt with later.
local spans = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.sub(spans, -1) == '-' then
  return 'paused'
end
local kept = {}
for span in string.gmatch(spans, '%S+') do
  kept[#kept + 1] = span
end
while #kept >= tonumber(ARGV[3]) do
  table.remove(kept, 1)
end
local t = redis.call('TIME')
kept[#kept + 1] = string.format('%.0f-', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], table.concat(kept, ' '), ARGV[1] .. '/by', ARGV[2])
return 'paused'
