-- Stores a new deploy and lists it with its site.
--
-- KEYS[1] deploy
-- KEYS[2] the site's list of deploys
-- ARGV[1] deploy ID
-- ARGV[2] token of this call, so that a repetition by the driver is known
-- ARGV[3] site
-- ARGV[4] state
-- ARGV[5] time of creation, ms; 0 for Redis's now
-- ARGV[6] deploy as JSON
-- ARGV[7] its summary as JSON
--
-- Result: "created", or "exists".
--
-- Atomic: the deploy is stored and listed, or neither.
local token = redis.call('HGET', KEYS[1], 'token')
if token then
  if token == ARGV[2] then
    return 'created'
  end
  return 'exists'
end
local created = ARGV[5]
if created == '0' then
  local t = redis.call('TIME')
  created = t[1] * 1000 + math.floor(t[2] / 1000)
end
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'site', ARGV[3], 'state', ARGV[4], 'created', created, 'data', ARGV[6], 'summary', ARGV[7])
redis.call('ZADD', KEYS[2], created, ARGV[1])
return 'created'
