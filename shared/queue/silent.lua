-- Counts the deliveries whose worker has fallen silent.
--
-- KEYS[1]  asynq:{queue}:lease
-- ARGV[1]  a lease that ends within so many seconds, or is over, was not renewed
-- Result   how many
-- Atomic. Time is that of Redis.
return redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. (redis.call('TIME')[1] + ARGV[1]))
