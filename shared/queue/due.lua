-- Head of forward.lua and sweep.lua, after lane.lua: tasks whose time has come, by
-- the clock of Redis.

-- arrive admits tasks of a set, scheduled or retry, whose time has come, at most 100.
-- It returns how many, and in how many ms the next one is due.
local function arrive(name)
  local source = queue .. name
  local first = redis.call('ZRANGE', source, 0, 0, 'WITHSCORES')
  if not first[2] then return 0, never * 1000 end
  local wait = tonumber(first[2]) * 1000 - now()
  if wait > 0 then return 0, wait end
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
  return #ids, 0
end
