-- Step, apply: makes the record, with Redis's clock as its time of creation, pins
-- its deploy, lists it, see index.lua, and counts it.
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
local id, site, fn, deploy = unpack(ARGV)
local created = millis()
redis.call('HSET', KEYS[1], 'id', id, 'site', site, 'function', fn, 'deploy', deploy, 'pin', deploy,
  'created', created, 'state', 'queued', 'attempt', '0', unpack(ARGV, 5))
tally(KEYS[2], deploy, 1)
tally(KEYS[4], 'accepted', 1)
local own = KEYS[3] .. 'queued:' .. site
arrive(own, created, id)
arrive(own .. ':' .. fn, created, id)
arrive(KEYS[3] .. 'queued', created, id)
