-- Locks a site to the deploy that is published on it.
--
-- KEYS[1] published deploys by site
-- KEYS[2] deploys that sites are locked to, by site
-- ARGV[1] site
-- ARGV[2] deploy ID
--
-- Result: "locked", or "other" if another deploy is published, or none.
--
-- Atomic, and idempotent.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'other'
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 'locked'
