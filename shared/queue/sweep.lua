-- Body of the leader's sweep over the lanes of one queue: says what the fleet
-- has, takes back slots that nobody will free, releases who waits. The head is
-- lane.lua.
--
-- ARGV[1]  capacity: how many deliveries the fleet runs at once
-- ARGV[2]  how many released tasks one site may have, 0: no limit
-- ARGV[3]  for how long the capacity is known, ms
-- ARGV[4]  where to go on looking for lost slots, at first 0
-- ARGV[5]  how many slots to look at, about
-- ARGV[6]  how many tasks to release at most
-- Result   {where to go on, 0 after the last; how many tasks were released;
--          {the IDs whose slot was taken back …}}
-- Atomic.
look_around()
if capacity ~= tonumber(ARGV[1]) or site_limit ~= tonumber(ARGV[2]) then
  capacity, site_limit = tonumber(ARGV[1]), tonumber(ARGV[2])
  -- Each lane's window may be another now.
  for _, lane in ipairs(redis.call('HKEYS', parked)) do
    redis.call('DEL', lanes .. 'blocked:' .. site_of(lane))
    redis.call('RPUSH', ring, lane)
  end
  redis.call('DEL', parked)
end
redis.call('HSET', lanes .. 'fleet', 'capacity', capacity, 'until', now + ARGV[3], 'site_limit', site_limit)

-- A slot belongs to a task that is pending or active. Any other was moved or
-- deleted by asynq's own tools, or settled by a worker that knows no lanes.
local slots = redis.call('HSCAN', held, ARGV[4], 'COUNT', ARGV[5])
local lost = {}
for i = 1, #slots[2], 2 do
  local id = slots[2][i]
  local state = redis.call('HGET', tasks .. id, 'state')
  if state ~= 'pending' and state ~= 'active' then
    if free(id) then lost[#lost + 1] = id end
  end
end
return {slots[1], promote(tonumber(ARGV[6])), lost}
