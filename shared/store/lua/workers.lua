-- Lists the live workers and removes the others.
--
-- KEYS[1] workers by ID
--
-- Result: each live worker as JSON, in no order.
--
-- Atomic: a worker that reports again meanwhile is not removed.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local live = {}
for i = 1, #all, 2 do
  local expiry, worker = string.match(all[i + 1], '^(%d+) (.*)$')
  if expiry and tonumber(expiry) > now then
    live[#live + 1] = worker
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return live
