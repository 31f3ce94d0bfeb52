-- Takes tasks from the head of a queue, in place of asynq's dequeue, which takes one.
--
-- KEYS[1]  asynq:{queue}:pending
-- KEYS[2]  asynq:{queue}:paused
-- KEYS[3]  asynq:{queue}:active
-- KEYS[4]  asynq:{queue}:lease
-- ARGV[1]  end of the leases, Unix s
-- ARGV[2]  what the keys of tasks begin with
-- ARGV[3]  how many, at most
-- Result   ID and message of each, in turn; none if the queue is empty or paused.
--          A task that somebody has deleted is passed over.
-- Atomic. A try whose reply is lost leaves tasks that nobody runs, until their
-- lease is over.
if redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local ids = redis.call('RPOP', KEYS[1], ARGV[3])
if not ids or #ids == 0 then return {} end
local leases, taken, result = {'ZADD', KEYS[4]}, {'LPUSH', KEYS[3]}, {}
for _, id in ipairs(ids) do
  local task = ARGV[2] .. id
  local message = redis.call('HGET', task, 'msg')
  if message then
    redis.call('HSET', task, 'state', 'active', 'pending_since', '0')
    taken[#taken + 1] = id
    leases[#leases + 1] = ARGV[1]
    leases[#leases + 1] = id
    result[#result + 1] = id
    result[#result + 1] = message
  end
end
if #result > 0 then
  redis.call(unpack(taken))
  redis.call(unpack(leases))
end
return result
