-- Points a site at one of its deploys.
--
-- KEYS[1…4] see pointer.lua
-- KEYS[5] deploy
-- ARGV[1] site
-- ARGV[2] deploy ID
-- ARGV[3] state that a deploy must be in
-- ARGV[4] what the keys of deploys begin with
-- ARGV[5] channel on which the catalog is watched
--
-- Result: "published", "missing", "foreign" (another site's deploy), "unready",
-- or "locked" (to another deploy).
--
-- Atomic: the pointer, the version and the message move together, so whoever
-- sees the new version sees the new pointer. Idempotent.
local site, state = unpack(redis.call('HMGET', KEYS[5], 'site', 'state'))
if not site then
  return 'missing'
end
if site ~= ARGV[1] then
  return 'foreign'
end
if state ~= ARGV[3] then
  return 'unready'
end
local lock = redis.call('HGET', KEYS[3], ARGV[1])
if lock and lock ~= ARGV[2] then
  return 'locked'
end
point(ARGV[1], ARGV[2], ARGV[4], ARGV[5])
return 'published'
