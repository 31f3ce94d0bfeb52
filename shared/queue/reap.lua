-- Hands tasks whose worker is gone back to the head of their queue.
--
-- KEYS[1]  asynq:{queue}:lease
-- KEYS[2]  asynq:{queue}:active
-- KEYS[3]  asynq:{queue}:pending
-- ARGV[1]  what the task keys begin with: asynq:{queue}:t:
-- ARGV[2]  grace: seconds that a lease must be over
-- ARGV[3]  how many tasks to hand back at most
-- Result   the IDs handed back
-- Atomic. Time is that of Redis. asynq's retry count stays as it is: a dead
-- worker is not the task's failure.
local now = redis.call("TIME")
local limit = tonumber(ARGV[3])
local handed = {}

local function hand_back(id)
  local key = ARGV[1] .. id
  redis.call("ZREM", KEYS[1], id)
  redis.call("LREM", KEYS[2], 0, id)
  -- Any other state is kept in a list of its own; a task without a hash is gone.
  if redis.call("HGET", key, "state") == "active" then
    redis.call("HSET", key, "state", "pending",
      "pending_since", now[1] .. string.format("%06d", now[2]) .. "000")
    redis.call("RPUSH", KEYS[3], id)
    handed[#handed + 1] = id
  end
end

local expired = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", "(" .. (now[1] - ARGV[2]), "LIMIT", 0, limit)
for _, id in ipairs(expired) do hand_back(id) end

-- Active without a lease: the lease's key was lost, or a dequeue broke half way.
-- asynq would never look at such a task again. One look is enough: every script
-- that makes a task active or settles it does so in both keys at once.
if redis.call("LLEN", KEYS[2]) > redis.call("ZCARD", KEYS[1]) then
  for _, id in ipairs(redis.call("LRANGE", KEYS[2], 0, -1)) do
    if #handed >= limit then break end
    if not redis.call("ZSCORE", KEYS[1], id) then hand_back(id) end
  end
end
return handed
