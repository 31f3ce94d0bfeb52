-- Body of the script that moves tasks whose time has come, in place of asynq's:
-- by the clock of Redis, and through the lanes. The head is lane.lua.
--
-- ARGV[1]  scheduled or retry: where to look
-- Result   how many tasks it moved, at most 100
-- Atomic.
forget()
local source = queue .. ARGV[1]
local ids = redis.call('ZRANGEBYSCORE', source, '-inf', clock()[1], 'LIMIT', 0, 100)
for _, id in ipairs(ids) do
  redis.call('ZREM', source, id)
  local lane = redis.call('HMGET', tasks .. id, 'state', 'lane')
  if lane[2] then
    admit(id, lane[2])
  elseif lane[1] then -- not enqueued by this package: no lane, no slot
    mark(id, 'pending')
    redis.call('LPUSH', pending, id)
  end
end
-- The leader's sweep does this too. Workers must not stand still without one.
promote(100)
save()
return #ids
