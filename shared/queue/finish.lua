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
local ended, done, expires = {}, {}, nil

local function finish(id, at)
  local verdict = check()
  if verdict ~= 1 and verdict ~= 0 then return verdict end
  if verdict == 1 then apply() end
  if redis.call('LREM', queue .. 'active', 0, id) > 0 then
    done[#done + 1], expires = id, at
  elseif redis.call('EXISTS', tasks .. id) == 1 then
    return verdict
  end
  ended[#ended + 1] = id
  return verdict
end

load('waiting', 'site_limit', 'released', 'capacity', 'until')
local results = serve(4, 2, finish)
if #done > 0 then
  local gone = {}
  for i, id in ipairs(done) do gone[i] = tasks .. id end
  redis.call('ZREM', queue .. 'lease', unpack(done))
  redis.call('DEL', unpack(gone))
  if redis.call('INCRBY', KEYS[3], #done) == #done then redis.call('EXPIREAT', KEYS[3], expires) end
  redis.call('INCRBY', queue .. 'processed', #done)
end
if #ended > 0 then free(ended) end
-- One more than was ended: a lane that could not be looked at before catches up.
promote(#done + 1)
save()
return results
