-- Reports a worker as alive.
--
-- KEYS[1] workers by ID
-- ARGV[1] worker's ID
-- ARGV[2] how long the report is good, ms
-- ARGV[3] worker as JSON
--
-- Result: 1.
--
-- Atomic. The moment of expiry stands in front of the JSON, by Redis's clock,
-- because fields of a hash have no expiry of their own before Redis 7.4.
local t = redis.call('TIME')
local expiry = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], expiry .. ' ' .. ARGV[3])
return 1
