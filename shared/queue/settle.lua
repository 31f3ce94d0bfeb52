-- Body of the script that ends a delivery, in place of asynq's done, retry and
-- archive: it does what they do, frees the task's slot and gives it to who waits.
-- The head is lane.lua.
--
-- KEYS[3]  asynq:{queue}:processed:<date>
-- KEYS[4]  asynq:{queue}:failed:<date>
-- ARGV[1]  task ID
-- ARGV[2]  done, retry or archived: what becomes of the task
-- ARGV[3]  when the counters of the day expire, Unix s
-- ARGV[4]  task message with the error in it; empty if done
-- ARGV[5]  retry: ms until then. archived: when it died, Unix s
-- ARGV[6]  1: count it as processed and failed, 0: do not. done: 0
-- ARGV[7]  archived: those that died before this time are removed, Unix s
-- ARGV[8]  archived: how many tasks the archive holds at most
-- Result   OK, or the error NOT FOUND: the task is not active. An earlier try got
--          through, or the task is somebody else's; then it keeps its slot.
-- Atomic. A try that is repeated finds the task settled and changes nothing.
local id, outcome, task = ARGV[1], ARGV[2], tasks .. ARGV[1]

local function tally(what, of_the_day)
  if redis.call('INCR', of_the_day) == 1 then redis.call('EXPIREAT', of_the_day, ARGV[3]) end
  redis.call('INCR', queue .. what)
end

local function bury()
  local archive = queue .. 'archived'
  redis.call('ZADD', archive, ARGV[5], id)
  redis.call('HSET', task, 'msg', ARGV[4], 'state', 'archived')
  local function remove(list)
    for _, other in ipairs(list) do
      redis.call('ZREM', archive, other)
      redis.call('DEL', tasks .. other)
    end
  end
  remove(redis.call('ZRANGEBYSCORE', archive, '-inf', ARGV[7], 'LIMIT', 0, 100))
  local over = redis.call('ZCARD', archive) - ARGV[8]
  if over > 0 then remove(redis.call('ZRANGE', archive, 0, math.min(over, 100) - 1)) end
end

if redis.call('LREM', queue .. 'active', 0, id) == 0 then
  local state = redis.call('HGET', task, 'state')
  if state ~= 'pending' and state ~= 'active' then
    free(id)
    promote(2)
    save()
  end
  return redis.error_reply('NOT FOUND')
end
redis.call('ZREM', queue .. 'lease', id)
if outcome == 'done' then
  redis.call('DEL', task)
  tally('processed', KEYS[3])
elseif outcome == 'retry' then
  redis.call('ZADD', queue .. 'retry', due(now() + ARGV[5]), id)
  redis.call('HSET', task, 'msg', ARGV[4], 'state', 'retry')
else
  bury()
end
if ARGV[6] == '1' then
  tally('processed', KEYS[3])
  tally('failed', KEYS[4])
end
free(id)
-- Two, not one: a lane that could not be looked at before catches up.
promote(2)
save()
return redis.status_reply('OK')
