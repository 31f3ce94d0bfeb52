-- Step, apply: makes the record, with Redis's clock as its time of creation, and
-- pins its deploy.
--
-- KEYS[1] record
-- KEYS[2] pins by deploy
-- ARGV    field, value, …
--
-- Atomic with the script that it rides in.
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'created', t[1] * 1000 + math.floor(t[2] / 1000), unpack(ARGV))
redis.call('HINCRBY', KEYS[2], redis.call('HGET', KEYS[1], 'pin'), 1)
