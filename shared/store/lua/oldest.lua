-- Finds since when the oldest queued record of a site waits that may run.
--
-- KEYS[1] what the names of the index's sets begin with
-- KEYS[2] what the names of records begin with; it is the name of no key itself
-- ARGV[1] site
-- ARGV[2] how many records are looked at, at most
--
-- Result: the time, ms, as text; empty if there is none.
--
-- Atomic. One waits from its creation, from the time before which it must not
-- run, or from its last retry: the latest of them. The sets are in the order of
-- creation, so the look ends at the first one that waits from there, which
-- nearly always is the very first. Records share the slot of the index.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local oldest
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. 'queued:' .. ARGV[1], 0, ARGV[2] - 1)) do
  local created, later, retried = unpack(redis.call('HMGET', KEYS[2] .. id, 'created', 'not_before', 'retried'))
  if created then
    local since = math.max(tonumber(created), tonumber(later or 0), tonumber(retried or 0))
    if since <= now and (not oldest or since < oldest) then
      oldest = since
    end
    if oldest and oldest <= tonumber(created) then
      break
    end
  end
end
return oldest and string.format('%.0f', oldest) or ''
