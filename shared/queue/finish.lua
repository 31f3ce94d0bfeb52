-- Body of the script that ends deliveries as done, each together with the steps
-- that ride along. It follows lane.lua, whose bounds are read and written once for
-- all deliveries.
--
-- KEYS[3]  asynq:{queue}:processed:<date>
-- KEYS[4…] for each delivery: the keys of its steps
-- ARGV     for each delivery: task ID; when the counters of the day expire, Unix s; its steps
-- Result   for each delivery: 1, it is ended and its steps are applied; 0, the same,
--          and a step says that it was applied before; or what else the check of a
--          step returned: nothing was written, and the delivery is not ended
-- Atomic. The steps say whose work counts; so a task that is not active any more,
-- because its lease was over, is gone as well. If it is back in its queue it stays
-- there: whoever is given it finds the work done. A try that is repeated changes nothing.
local done, expires = 0, nil

local function finish(id, at)
  local verdict = check()
  if verdict ~= 1 and verdict ~= 0 then return verdict end
  if verdict == 1 then apply() end
  local task = tasks .. id
  if redis.call('LREM', queue .. 'active', 0, id) > 0 then
    redis.call('ZREM', queue .. 'lease', id)
    redis.call('DEL', task)
    done, expires = done + 1, at
  elseif redis.call('EXISTS', task) == 1 then
    return verdict
  end
  free(id)
  return verdict
end

load('waiting', 'site_limit', 'released', 'capacity', 'until')
local results = serve(4, 2, finish)
-- One more than was ended: a lane that could not be looked at before catches up.
promote(done + 1)
save()
if done > 0 then
  if redis.call('INCRBY', KEYS[3], done) == done then redis.call('EXPIREAT', KEYS[3], expires) end
  redis.call('INCRBY', queue .. 'processed', done)
end
return results
