-- Step, apply, after index.lua: makes the record, with Redis's clock as its time
-- of creation, pins its deploy, lists and counts it.
--
-- KEYS[1] record
-- KEYS[2] pins by deploy
-- KEYS[3] what the names of the index's sets begin with
-- KEYS[4] counts
-- ARGV[1] id
-- ARGV[2] site
-- ARGV[3] function
-- ARGV[4] deploy
-- ARGV[5…] further fields: field, value, …
--
-- Atomic with the script that it rides in.
local r = {id = ARGV[1], site = ARGV[2], fn = ARGV[3], created = millis()}
redis.call('HSET', KEYS[1], 'id', r.id, 'site', r.site, 'function', r.fn, 'deploy', ARGV[4], 'pin', ARGV[4],
  'created', r.created, 'state', 'queued', 'attempt', '0', unpack(ARGV, 5))
tally(KEYS[2], ARGV[4], 1)
tally(KEYS[4], 'accepted', 1)
add(KEYS[3], r, 'queued')
