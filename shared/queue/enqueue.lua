-- Body of the script that puts tasks into their queue, each together with the
-- steps that ride along. Where LANES stands comes lane.lua: most calls end before
-- it. One script serves all who call at the same time: what it defines, what it
-- counts and that it is called at all is a good part of what a task costs Redis.
--
-- KEYS[3…] for each task: the keys of the first step, then those of the second …
-- ARGV     for each task:
--            task message, encoded by asynq
--            task ID
--            lane
--            concurrency of the lane, 0: no bound of its own
--            not before, Unix ms; 0: now
--            for each step: the number of its keys, the number of its arguments, the arguments
-- Result   for each task one of
--            1: the task is in the queue, now or from an earlier try, and all
--               steps are applied
--            what the check of a step returned: nothing was written for it
--            an error, which leaves the others as they are
--          or one error for all, if Redis takes no writes at the moment
-- Atomic: all checks of a task run before its first write. A Lua error in an Apply
-- leaves a task whose record is missing; it is written last for that reason, because
-- a worker drops such a task, while a record without a task would wait for ever.

local function enqueue(message, id, lane, concurrency, not_before)
  local verdict = check()
  if verdict ~= 1 then return verdict end

  local task = KEYS[1] .. 't:' .. id
  local state = redis.call('HGET', task, 'state')
  local settled = state and state ~= 'archived'

  -- The usual cases, in fewer words: what admit does with a new task when no site
  -- has a limit, and its lane has room, or tasks that wait.
  if not state and not_before == '0' then
    local bounds, slots = KEYS[2] .. 'bounds', 'slots:' .. lane
    local of = redis.call('HMGET', bounds, 'waits:' .. lane, 'limit:' .. lane, slots, 'released', 'site_limit', 'capacity', 'until')
    local window = tonumber(of[2] or 0)
    if window == tonumber(concurrency) then
      local n, released, capacity = (of[3] or 0) + 1, (of[4] or 0) + 1, of[7] and tonumber(of[6] or 0)
      if window == 0 and capacity then window = math.max(1, capacity - math.max(1, math.floor(capacity / 8))) end
      if of[1] then
        redis.call('HSET', task, 'msg', message, 'lane', lane, 'state', 'scheduled', 'pending_since', '0')
        redis.call('ZADD', KEYS[1] .. 'scheduled', '32503680000', id)
        redis.call('RPUSH', KEYS[2] .. 'waiting:' .. lane, id)
        settled = true
      elseif not of[5] and (window == 0 or n <= window) and (not capacity or released <= capacity)
        and redis.call('HSETNX', KEYS[2] .. 'held', id, lane) == 1 then
        local time = clock()
        redis.call('HSET', task, 'msg', message, 'lane', lane, 'state', 'pending',
          'pending_since', time[1] .. string.format('%06d', time[2]) .. '000')
        redis.call('LPUSH', KEYS[1] .. 'pending', id)
        redis.call('HSET', bounds, slots, string.format('%d', n), 'released', string.format('%d', released))
        settled = true
      end
    end
  end
  if settled then
    apply()
    return 1
  end
--[[LANES]]
  if state == 'archived' then -- buried; somebody runs it once more
    redis.call('ZREM', queue .. 'archived', id)
    redis.call('DEL', task)
  end
  load('waits:' .. lane, 'limit:' .. lane, 'slots:' .. lane, 'released', 'site_limit', 'capacity', 'until', 'waiting')
  concurrency, not_before = tonumber(concurrency), tonumber(not_before)
  local moved = number('limit:' .. lane) ~= concurrency
  if moved then
    set('limit:' .. lane, concurrency)
    unpark(lane)
  end
  if not_before > 0 and not_before > now() then
    mark(id, 'scheduled', lane, message)
    redis.call('ZADD', delayed, due(not_before), id)
  else
    admit(id, lane, message)
  end
  if moved then promote(10) end
  save()

  apply()
  return 1
end

return serve(3, 5, enqueue)
