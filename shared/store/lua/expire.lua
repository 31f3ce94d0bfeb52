-- Takes deploys of a site out of use that nothing points at.
--
-- KEYS[1] published deploys by site
-- KEYS[2] version of the catalog
-- KEYS[3] deploys that sites are locked to, by site
-- KEYS[4] the site's publication history, newest last
-- KEYS[5] newest deploys of branches
-- ARGV[1] site
-- ARGV[2] state that a deploy must be in
-- ARGV[3] state to move to
-- ARGV[4] age from which a deploy may go, ms
-- ARGV[5] how many of the newest in the history stay
-- ARGV[6] what the keys of deploys begin with
-- ARGV[7] channel on which the catalog is watched
-- ARGV[8…] deploy IDs
--
-- Result: the IDs of those that are out of use, now or from an earlier call.
--
-- Atomic: no pointer moves between the look at it and the change of state, and
-- whoever routes by the new version of the catalog asks for the new states. A
-- deploy that is out of use stays: it cannot be published again. All keys of sites
-- and deploys share one hash tag, so the script may reach the deploys.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local needed = {}
local function need(list)
  for _, id in ipairs(list) do
    needed[id] = true
  end
end
need({redis.call('HGET', KEYS[1], ARGV[1]) or ''})
need({redis.call('HGET', KEYS[3], ARGV[1]) or ''})
need(redis.call('LRANGE', KEYS[4], -tonumber(ARGV[5]), -1))
need(redis.call('HVALS', KEYS[5]))

local expired, moved = {}, false
for i = 8, #ARGV do
  local deploy = ARGV[6] .. ARGV[i]
  local site, state, created, left = unpack(redis.call('HMGET', deploy, 'site', 'state', 'created', 'left'))
  local unused = math.max(tonumber(created or 0), tonumber(left or 0))
  if site == ARGV[1] and state == ARGV[3] then
    expired[#expired + 1] = ARGV[i]
  elseif site == ARGV[1] and state == ARGV[2] and not needed[ARGV[i]] and now - unused > tonumber(ARGV[4]) then
    redis.call('HSET', deploy, 'state', ARGV[3], 'expired', now)
    expired[#expired + 1] = ARGV[i]
    moved = true
  end
end
if moved then
  redis.call('PUBLISH', ARGV[7], redis.call('INCR', KEYS[2]))
end
return expired
