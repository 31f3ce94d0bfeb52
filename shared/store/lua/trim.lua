-- Removes the index's entries of records that have expired, after index.lua.
--
-- KEYS[1] what the names of the index's sets begin with
-- KEYS[2] what the names of records begin with; it is the name of no key itself
-- ARGV[1] how many entries are looked at, at most
--
-- Result: how many records' entries were removed, and how many were looked at.
--
-- Atomic, and idempotent. A record whose expiry was put off is there still, and
-- is looked at again when that has come. Records share the slot of the index.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1] .. 'expiry', '-inf', now, 'LIMIT', 0, ARGV[1])
local removed = 0
for _, entry in ipairs(due) do
  local id, state, site, fn = string.match(entry, '^(.-):(.-):(.-):(.*)$')
  local left = redis.call('PTTL', KEYS[2] .. id)
  if left == -2 then
    remove(KEYS[1], {id = id, site = site, fn = fn}, state)
    removed = removed + 1
  else
    redis.call('ZADD', KEYS[1] .. 'expiry', now + math.max(left, 1000), entry)
  end
end
return {removed, #due}
