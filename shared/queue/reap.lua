-- Body of the script that hands tasks whose worker is gone back to the head of
-- their queue, or to the suspects; the head is lane.lua.
--
-- ARGV[1]  grace: seconds that a lease must be over
-- ARGV[2]  how many tasks to hand back at most
-- Result   {{the IDs handed back …}, {those of them that became suspects …}; in how many
--          s the next lease will be over for long enough, at most a minute}
-- Atomic. Time is that of Redis. asynq's retry count stays as it is: a dead
-- worker is not the task's failure.
local active, lease, most = queue .. 'active', queue .. 'lease', tonumber(ARGV[2])
local handed, suspected = {}, {}

local function hand_back(id)
  redis.call('ZREM', lease, id)
  redis.call('LREM', active, 0, id)
  local task = redis.call('HMGET', tasks .. id, 'state', 'lane')
  -- Any other state is kept in a list of its own; a task without a hash is gone.
  if task[1] ~= 'active' then return end
  local lane = task[2]
  handed[#handed + 1] = id
  if redis.call('HINCRBY', tasks .. id, 'crashed', 1) > 1 and lane and lane ~= suspects then
    suspected[#suspected + 1] = id
    free({id})
    redis.call('HSET', tasks .. id, 'lane', suspects, 'home', lane)
    admit(id, suspects)
  else
    -- A suspect keeps its slot too: it ran alone, and is to be judged now.
    mark(id, 'pending')
    redis.call('RPUSH', pending, id)
  end
end

-- next_one is in how many s the grace of the first lease is over.
local function next_one()
  local first = redis.call('ZRANGE', lease, 0, 0, 'WITHSCORES')
  return first[2] and math.min(first[2] - (clock()[1] - ARGV[1]) + 1, 60) or 60
end

local wait = next_one()
if wait <= 0 then
  local expired = redis.call('ZRANGEBYSCORE', lease, '-inf', '(' .. (clock()[1] - ARGV[1]), 'LIMIT', 0, most)
  for _, id in ipairs(expired) do hand_back(id) end
  wait = next_one()
end

-- Active without a lease: the lease's key was lost, or a dequeue broke half way.
-- asynq would never look at such a task again. One look is enough: every script
-- that makes a task active or settles it does so in both keys at once.
if redis.call('LLEN', active) > redis.call('ZCARD', lease) then
  for _, id in ipairs(redis.call('LRANGE', active, 0, -1)) do
    if #handed >= most then break end
    if not redis.call('ZSCORE', lease, id) then hand_back(id) end
  end
end
promote(#suspected)
save()
return {handed, suspected, wait}
