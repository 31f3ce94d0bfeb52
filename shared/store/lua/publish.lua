-- Points a site at one of its deploys.
--
-- KEYS[1] deploy
-- KEYS[2] published deploys by site
-- KEYS[3] version of the catalog
-- ARGV[1] site
-- ARGV[2] deploy ID
-- ARGV[3] state that a deploy must be in
-- ARGV[4] channel on which the catalog is watched
--
-- Result: "published", "missing", "foreign" (another site's deploy), or
-- "unready".
--
-- Atomic: the pointer, the version and the message move together, so whoever
-- sees the new version sees the new pointer.
local site, state = unpack(redis.call('HMGET', KEYS[1], 'site', 'state'))
if not site then
  return 'missing'
end
if site ~= ARGV[1] then
  return 'foreign'
end
if state ~= ARGV[3] then
  return 'unready'
end
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('PUBLISH', ARGV[4], redis.call('INCR', KEYS[3]))
end
return 'published'
