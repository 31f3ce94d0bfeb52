-- Step, apply, after record.lua: lets a dead invocation begin anew. Its attempts
-- stay in the journal and their numbers go on, so that whoever holds an old one
-- stays fenced.
--
-- KEYS see record.lua
-- ARGV[1] token of this call, so that a repetition by the driver is known
-- ARGV[2] state of a callback that has to be told
--
-- Atomic with the script that it rides in.
local record, log, pins = unpack(KEYS)
local r, deploy = look(record), redis.call('HGET', record, 'deploy')
if not may(r.state, 'queued') then
  error('an invocation in state ' .. r.state .. ' cannot be retried')
end
redis.call('HDEL', record, 'finished', 'result', 'failures', 'crashes', 'cancel')
redis.call('PERSIST', record)
redis.call('PERSIST', log)
sum(pinned, pins, deploy, 1)
if r.callback then
  redis.call('HDEL', record, 'callback_attempts', 'callback_error')
  redis.call('HSET', record, 'callback_state', ARGV[2])
end
enter(KEYS, r, 'queued', 0, 'retry', ARGV[1], 'pin', deploy)
