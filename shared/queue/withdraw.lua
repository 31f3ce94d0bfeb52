-- Removes a task that waits: for its time, for its retry, or in its lane.
--
-- KEYS[1]  asynq:{queue}:t:<id>
-- KEYS[2]  asynq:{queue}:scheduled
-- KEYS[3]  asynq:{queue}:retry
-- ARGV[1]  task ID
-- Result   1: there is no such task, or not any more; 0: it is pending, active or archived
-- Atomic. In the list of its lane the ID stays, and is skipped there.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 1 end
if state ~= 'scheduled' and state ~= 'retry' then return 0 end
redis.call('ZREM', state == 'retry' and KEYS[3] or KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
return 1
