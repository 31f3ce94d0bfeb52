-- Points a site at nothing. Its history stays, so a rollback undoes it.
--
-- KEYS[1…4] see pointer.lua
-- ARGV[1] site
-- ARGV[2] what the keys of deploys begin with
-- ARGV[3] channel on which the catalog is watched
--
-- Result: "unpublished", also if nothing was published, or "locked".
--
-- Atomic, and idempotent.
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
  return 'locked'
end
point(ARGV[1], false, ARGV[2], ARGV[3])
return 'unpublished'
