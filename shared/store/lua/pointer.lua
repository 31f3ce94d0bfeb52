-- Head of seal.lua, publish.lua, rollback.lua and unpublish.lua: how the pointer
-- of a site moves. All keys of sites and deploys share one hash tag, so a script
-- may reach the deploy that a pointer leads to, whose name it learns only then.
--
-- KEYS[1] published deploys by site
-- KEYS[2] version of the catalog
-- KEYS[3] deploys that sites are locked to, by site
-- KEYS[4] the site's publication history, newest last

-- now is Redis's clock in milliseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- tell makes a new version of the catalog and says so.
local function tell(channel)
  redis.call('PUBLISH', channel, redis.call('INCR', KEYS[2]))
end

-- point moves the pointer of a site to a deploy; to nothing if id is false.
-- prefix is what the keys of deploys begin with.
local function point(site, id, prefix, channel)
  local before = redis.call('HGET', KEYS[1], site)
  if before == id then
    return
  end
  local at = now()
  if before and redis.call('EXISTS', prefix .. before) == 1 then
    redis.call('HSET', prefix .. before, 'left', at)
  end
  if id then
    redis.call('HSET', KEYS[1], site, id)
    redis.call('HSET', prefix .. id, 'published', at)
    redis.call('HDEL', prefix .. id, 'left')
    if redis.call('LINDEX', KEYS[4], -1) ~= id then
      redis.call('RPUSH', KEYS[4], id)
      redis.call('LTRIM', KEYS[4], -100, -1)
    end
  else
    redis.call('HDEL', KEYS[1], site)
  end
  tell(channel)
end
