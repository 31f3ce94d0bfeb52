-- Step, apply: makes the record, with Redis's clock as its time of creation.
--
-- KEYS[1] record
-- ARGV    field, value, …
--
-- Atomic with the script that it rides in.
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'created', t[1] * 1000 + math.floor(t[2] / 1000), unpack(ARGV))
