-- Body of the script that puts tasks into their queue, each together with the
-- steps that ride along. Where LANES stands comes lane.lua: most calls end before
-- it. One script serves all who call at the same time: what it defines, that it is
-- called at all, and each command is a good part of what a task costs Redis. So what
-- tasks have in common is read once, and written once, at the end.
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
--          or one error for all, if Redis takes no writes at the moment, or what is
--          written at the end cannot be
-- Atomic: all checks of a task run before its first write. A Lua error in an Apply
-- leaves a task whose record is missing; it is written last for that reason, because
-- a worker drops such a task, while a record without a task would wait for ever.

local queue, lanes = KEYS[1], KEYS[2]
local bounds, held = lanes .. 'bounds', lanes .. 'held'

-- put adds to the operands of the one command that a key is written with, by write.
local lists, order = {}, {}
local function put(command, key, first, second)
  local list = lists[key]
  if not list then
    list = {command, key}
    lists[key] = list
    order[#order + 1] = key
  end
  list[#list + 1] = first
  list[#list + 1] = second
end

-- Of this script's tasks, there has those that may be there already, and slotted
-- those that have a slot.
local there, slotted
local function look()
  there, slotted = {}, {}
  local ids, tasks, arg = {}, {}, 1
  while arg <= #ARGV do
    ids[#ids + 1] = ARGV[arg + 1]
    tasks[#tasks + 1] = queue .. 't:' .. ARGV[arg + 1]
    arg = arg + 5
    for _ = 1, #steps do arg = arg + 2 + ARGV[arg + 1] end
  end
  local old, slots = redis.call('EXISTS', unpack(tasks)) > 0, redis.call('HMGET', held, unpack(ids))
  for i, id in ipairs(ids) do there[id], slotted[id] = old, slots[i] end
end

-- known has the lanes as they will be, and fleet what is so of all of them.
local known, fleet = {}, nil
local function know(lane)
  local of = redis.call('HMGET', bounds, 'waits:' .. lane, 'limit:' .. lane, 'slots:' .. lane,
    'released', 'site_limit', 'capacity', 'until')
  fleet = fleet or {released = tonumber(of[4] or 0), limited = of[5], capacity = of[7] and tonumber(of[6] or 0)}
  local window = tonumber(of[2] or 0)
  known[lane] = {waits = of[1], concurrency = string.format('%d', window), window = window, slots = tonumber(of[3] or 0)}
  local capacity = fleet.capacity
  if window == 0 and capacity then known[lane].window = math.max(1, capacity - math.max(1, math.floor(capacity / 8))) end
  return known[lane]
end

-- write writes what was put off, and forgets what was known. What cannot be written
-- is tried again at the end of the script, which then fails for all.
local function write()
  if fleet then
    for lane, of in pairs(known) do
      if of.changed then put('HSET', bounds, 'slots:' .. lane, string.format('%d', of.slots)) end
    end
    if lists[bounds] then put('HSET', bounds, 'released', string.format('%d', fleet.released)) end
    known, fleet = {}, nil
  end
  for i = 1, #order do
    local list = lists[order[i]]
    if list then redis.call(unpack(list)) end
    lists[order[i]] = nil
  end
  order = {}
end

-- usual is for most tasks: those that are there already, and what lane.lua's admit
-- does with a new one when no site has a limit, and its lane has room, or tasks that
-- wait. Of others it returns nothing, and has written nothing.
local function usual(message, id, lane, concurrency, not_before)
  if not there then look() end
  local state = there[id] and redis.call('HGET', queue .. 't:' .. id, 'state')
  if state == 'archived' or not state and slotted[id] then return nil end
  if state then return true end
  local of = not_before == '0' and (known[lane] or know(lane))
  if not of or of.concurrency ~= concurrency then return nil end
  if of.waits then
    redis.call('HSET', queue .. 't:' .. id, 'msg', message, 'lane', lane, 'state', 'scheduled', 'pending_since', '0')
    put('ZADD', queue .. 'scheduled', '32503680000', id)
    put('RPUSH', lanes .. 'waiting:' .. lane, id)
  else
    local n, released = of.slots + 1, fleet.released + 1
    if fleet.limited or of.window > 0 and n > of.window or fleet.capacity and released > fleet.capacity then return nil end
    local time = clock()
    redis.call('HSET', queue .. 't:' .. id, 'msg', message, 'lane', lane, 'state', 'pending',
      'pending_since', time[1] .. string.format('%06d', time[2]) .. '000')
    put('LPUSH', queue .. 'pending', id)
    put('HSET', held, id, lane)
    of.slots, of.changed, fleet.released = n, true, released
  end
  there[id] = true
  return true
end

local function enqueue(message, id, lane, concurrency, not_before)
  local verdict = check()
  if verdict ~= 1 then return verdict end
  if usual(message, id, lane, concurrency, not_before) then
    apply()
    return 1
  end
  write()
--[[LANES]]
  if redis.call('HGET', tasks .. id, 'state') then -- buried; somebody runs it once more
    redis.call('ZREM', queue .. 'archived', id)
    redis.call('DEL', tasks .. id)
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
  there[id] = true
  apply()
  return 1
end

local verdicts = serve(3, 5, enqueue)
write()
return verdicts
