-- Body of the script that ends a delivery, in place of asynq's done, retry and
-- archive: it does what they do, frees the task's slot and gives it to who waits.
-- Where LANES stands comes lane.lua: most calls end before it.
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
local id, outcome, task = ARGV[1], ARGV[2], KEYS[1] .. 't:' .. ARGV[1]
local active = redis.call('LREM', KEYS[1] .. 'active', 0, id) > 0
if active then
  redis.call('ZREM', KEYS[1] .. 'lease', id)
  if outcome == 'done' then
    redis.call('DEL', task)
  elseif outcome == 'retry' then
    local time = redis.call('TIME') -- in whole seconds, and not early
    local at = math.ceil((time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5]) / 1000)
    redis.call('ZADD', KEYS[1] .. 'retry', at, id)
    redis.call('HSET', task, 'msg', ARGV[4], 'state', 'retry')
  else
    local archive = KEYS[1] .. 'archived'
    redis.call('ZADD', archive, ARGV[5], id)
    redis.call('HSET', task, 'msg', ARGV[4], 'state', 'archived')
    local function remove(list)
      for _, other in ipairs(list) do
        redis.call('ZREM', archive, other)
        redis.call('DEL', KEYS[1] .. 't:' .. other)
      end
    end
    remove(redis.call('ZRANGEBYSCORE', archive, '-inf', ARGV[7], 'LIMIT', 0, 100))
    local over = redis.call('ZCARD', archive) - ARGV[8]
    if over > 0 then remove(redis.call('ZRANGE', archive, 0, math.min(over, 100) - 1)) end
  end
  if outcome == 'done' or ARGV[6] == '1' then
    if redis.call('INCR', KEYS[3]) == 1 then redis.call('EXPIREAT', KEYS[3], ARGV[3]) end
    redis.call('INCR', KEYS[1] .. 'processed')
  end
  if ARGV[6] == '1' then
    if redis.call('INCR', KEYS[4]) == 1 then redis.call('EXPIREAT', KEYS[4], ARGV[3]) end
    redis.call('INCR', KEYS[1] .. 'failed')
  end

  -- The usual case, in fewer words: what free does when no lane waits and no site
  -- has a limit.
  local lane = redis.call('HGET', KEYS[2] .. 'held', id)
  if not lane then return redis.status_reply('OK') end
  local bounds, slots = KEYS[2] .. 'bounds', 'slots:' .. lane
  local of = redis.call('HMGET', bounds, 'waiting', 'site_limit', slots, 'released')
  if not of[1] and not of[2] and lane ~= '*/suspects' then
    redis.call('HDEL', KEYS[2] .. 'held', id)
    if of[4] == '1' then
      redis.call('HDEL', bounds, slots, 'released')
    elseif of[3] == '1' then
      redis.call('HDEL', bounds, slots)
      redis.call('HSET', bounds, 'released', of[4] - 1)
    else
      redis.call('HSET', bounds, slots, of[3] - 1, 'released', of[4] - 1)
    end
    return redis.status_reply('OK')
  end
end
--[[LANES]]
if not active then
  local state = redis.call('HGET', task, 'state')
  if state == 'pending' or state == 'active' then return redis.error_reply('NOT FOUND') end
end
load('waiting', 'site_limit', 'released', 'capacity', 'until')
free({id})
-- Two, not one: a lane that could not be looked at before catches up.
promote(2)
save()
return active and redis.status_reply('OK') or redis.error_reply('NOT FOUND')
