-- Body of the leader's sweep over the lanes of one queue: says what the fleet
-- has, takes back slots that nobody will free, admits whose time has come, releases
-- who waits. The heads are lane.lua and due.lua.
--
-- ARGV[1]  capacity: how many deliveries the live workers run at once. Unless it is 0,
--          what silent ones had begun is added to it
-- ARGV[2]  how many released tasks one site may have, 0: no limit
-- ARGV[3]  for how long the capacity is known, ms
-- ARGV[4]  where to go on looking for lost slots, at first 0
-- ARGV[5]  how many slots to look at, about
-- ARGV[6]  how many tasks to release at most
-- ARGV[7]  whose lease ends within so many seconds, or is over, is silent
-- Result   {where to go on, 0 after the last; how many tasks were released; how many
--          of a set were due, at most 100; {the IDs whose slot was taken back …}}
-- Atomic.
load('capacity', 'until', 'site_limit', 'released', 'waiting')
forget()
local capacity, site_limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if capacity > 0 then
  capacity = capacity + redis.call('ZCOUNT', queue .. 'lease', '-inf', '(' .. (clock()[1] + ARGV[7]))
end
if (site_limit > 0) ~= (number('site_limit') > 0) then
  -- Sites are counted only while there is a limit.
  for _, field in ipairs(redis.call('HKEYS', bounds)) do
    if string.match(field, '^slots:[^/]*$') then set(field, 0) end
  end
  if site_limit > 0 then
    for _, lane in ipairs(redis.call('HVALS', held)) do
      if lane ~= suspects then add('slots:' .. site_of(lane), 1) end
    end
  end
end
if number('until') == 0 or capacity ~= number('capacity') or site_limit ~= number('site_limit') then
  reopen()
end
set('capacity', capacity)
set('site_limit', site_limit)
set('until', now() + ARGV[3])

-- A slot belongs to a task that is pending or active. Any other was moved or
-- deleted by asynq's own tools, or settled by a worker that knows no lanes.
local slots = redis.call('HSCAN', held, ARGV[4], 'COUNT', ARGV[5])
local lost = {}
for i = 1, #slots[2], 2 do
  local id = slots[2][i]
  local state = redis.call('HGET', tasks .. id, 'state')
  if state ~= 'pending' and state ~= 'active' then
    if free({id}) > 0 then lost[#lost + 1] = id end
  end
end
local delays = arrive('scheduled')
local retries = arrive('retry')
local released = promote(tonumber(ARGV[6]))
save()
return {slots[1], released, math.max(delays, retries), lost}
