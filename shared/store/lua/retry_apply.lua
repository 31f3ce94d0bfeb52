-- Step, apply: lets a dead invocation begin anew. Its attempts stay in the
-- journal and their numbers go on, so that whoever holds an old one stays fenced.
--
-- KEYS, ARGV[1…2] see record.lua
-- ARGV[3] token of this call, so that a repetition by the driver is known
-- ARGV[4] state of a callback that has to be told
--
-- Atomic with the script that it rides in.
local from, deploy, callback = unpack(redis.call('HMGET', record, 'state', 'deploy', 'callback'))
if not may(from, 'queued') then
  error('an invocation in state ' .. from .. ' cannot be retried')
end
redis.call('HDEL', record, 'finished', 'result', 'failures', 'crashes', 'cancel')
redis.call('HSET', record, 'retry', ARGV[3], 'pin', deploy)
redis.call('HINCRBY', pins, deploy, 1)
redis.call('PERSIST', record)
redis.call('PERSIST', log)
if callback then
  redis.call('HSET', record, 'callback_state', ARGV[4])
  redis.call('HDEL', record, 'callback_attempts', 'callback_error')
end
enter(from, 'queued', now(), 0)
