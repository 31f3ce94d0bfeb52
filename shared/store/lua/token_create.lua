-- Makes a token, and removes those that have expired long ago.
--
-- KEYS[1] tokens by ID: "<created ms> <expires ms, or 0> <digest> <the rest as JSON>"
-- KEYS[2] when tokens were used last, by ID
-- ARGV[1] ID
-- ARGV[2] digest of the secret
-- ARGV[3] time of expiry, ms, or 0
-- ARGV[4] the rest as JSON
-- ARGV[5] most tokens that there may be
-- ARGV[6] how long tokens are kept that have expired, ms
--
-- Result: "created" with the time of creation, "past" if it would have expired
-- already, "full", or "exists" if another token has the ID.
--
-- Atomic. Idempotent: no two tokens have a digest, so one that is there already
-- is this call's own.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there then
  local created, digest = string.match(there, '^(%d+) %d+ (%x+) ')
  if digest == ARGV[2] then
    return {'created', created}
  end
  return {'exists'}
end
local expires = tonumber(ARGV[3])
if expires ~= 0 and expires <= now then
  return {'past'}
end
local left, all = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends = tonumber(string.match(all[i + 1], '^%d+ (%d+) '))
  if ends ~= 0 and ends + ARGV[6] < now then
    redis.call('HDEL', KEYS[1], all[i])
    redis.call('HDEL', KEYS[2], all[i])
  else
    left = left + 1
  end
end
if left >= tonumber(ARGV[5]) then
  return {'full'}
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[3] .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
return {'created', string.format('%.0f', now)}
