-- Puts a task that was taken, and not given to anybody, back to the head of its queue.
--
-- KEYS[1]  asynq:{queue}: what asynq's keys of the queue begin with
-- ARGV[1]  task ID
-- Result   1, or 0 if the task is not active any more: then it is somebody else's.
-- Atomic.
if redis.call('LREM', KEYS[1] .. 'active', 0, ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[1] .. 'lease', ARGV[1])
local now = redis.call('TIME')
redis.call('HSET', KEYS[1] .. 't:' .. ARGV[1], 'state', 'pending',
  'pending_since', now[1] .. string.format('%06d', now[2]) .. '000')
redis.call('RPUSH', KEYS[1] .. 'pending', ARGV[1])
return 1
