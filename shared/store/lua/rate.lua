-- Counts a call against a rate limit, unless the limit is reached.
--
-- A sliding window, held as two fixed ones: the one that runs, and the one
-- before, whose calls count as if they had been spread evenly over the time
-- from its first to its last. The first window begins with the first call, so
-- that out of rest exactly the limit passes, wherever the clock stands.
--
-- KEYS[1] counters
-- ARGV[1] length of a window, ms
-- ARGV[2] calls that a window has
-- ARGV[3] token of this call, so that a repetition by the driver is known
--
-- Result: 0 if the call was counted, or how many ms to wait for one that would be.
--
-- Atomic: calls of all gateways are counted one after the other. A call over the
-- limit is not counted, so that who asks too often still gets its share. Six
-- fields are stored, whatever the limit, until a window after the last call.
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local stored = redis.call('HMGET', KEYS[1], 'begun', 'count', 'last', 'before', 'ended', 'token')
if stored[6] == ARGV[3] then
  return 0
end
local begun, count, last = tonumber(stored[1]), tonumber(stored[2]), tonumber(stored[3])
local before, ended = tonumber(stored[4]), tonumber(stored[5]) -- of the window before: calls, and the last of them
if not begun or now - last >= window or now < last then
  begun, count, before, ended = now, 0, 0, now
elseif now - begun >= window then
  before, ended = count, last
  begun, count = begun + window, 0
end
local span = ended - (begun - window)
local old = 0 -- calls of the window before that are younger than a window
if before > 0 and now - window < ended then
  old = before * (ended - (now - window)) / span
end
if old + count + 1 > limit then
  local spare = limit - 1
  local due -- when old enough calls are out
  if count <= spare then
    due = ended - span * (spare - count) / before
  else
    due = last - (last - begun) * spare / count
  end
  return math.max(1, math.ceil(due + window - now))
end
redis.call('HSET', KEYS[1], 'begun', begun, 'count', count + 1, 'last', now, 'before', before, 'ended', ended, 'token', ARGV[3])
redis.call('PEXPIRE', KEYS[1], window)
return 0
