-- Body of the script that puts a task into its queue together with the steps
-- that ride along. Where LANES stands comes lane.lua: most calls end before it.
--
-- KEYS[3…] the keys of the first step, then those of the second …
-- ARGV[1]  task message, encoded by asynq
-- ARGV[2]  task ID
-- ARGV[3]  lane
-- ARGV[4]  concurrency of the lane, 0: no bound of its own
-- ARGV[5]  not before, Unix ms; 0: now
-- ARGV[6…] for each step: the number of its keys, the number of its arguments, the arguments
-- Result   1: the task is in the queue, now or from an earlier try, and all
--          steps are applied; otherwise what the check of a step returned, and
--          nothing was written.
-- Atomic: all checks run before the first write. A Lua error in an Apply leaves
-- a task whose record is missing; it is written last for that reason, because a
-- worker drops such a task, while a record without a task would wait for ever.
local steps = {
--[[STEPS]]
}

local key, arg = 3, 6
for _, step in ipairs(steps) do
  local keys, args = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  arg = arg + 2
  step.keys, step.args = {}, {}
  for i = 1, keys do step.keys[i] = KEYS[key + i - 1] end
  for i = 1, args do step.args[i] = ARGV[arg + i - 1] end
  key, arg = key + keys, arg + args
end

for _, step in ipairs(steps) do
  local verdict = step.check(step.keys, step.args)
  if type(verdict) ~= "number" then
    return redis.error_reply("ERR user_script: the check of a step must return an integer")
  end
  if verdict ~= 1 then return verdict end
end

local id, lane, task = ARGV[2], ARGV[3], KEYS[1] .. 't:' .. ARGV[2]
local state = redis.call('HGET', task, 'state')
local settled = state and state ~= 'archived'

-- The usual cases, in fewer words: what admit does with a new task when no site
-- has a limit, and its lane has room, or tasks that wait.
if not state and ARGV[5] == '0' then
  local bounds, slots = KEYS[2] .. 'bounds', 'slots:' .. lane
  local of = redis.call('HMGET', bounds, 'waits:' .. lane, 'limit:' .. lane, slots, 'released', 'site_limit', 'capacity', 'until')
  local window = tonumber(of[2] or 0)
  if window == tonumber(ARGV[4]) then
    local n, released, capacity = (of[3] or 0) + 1, (of[4] or 0) + 1, of[7] and tonumber(of[6] or 0)
    if window == 0 and capacity then window = math.max(1, capacity - math.max(1, math.floor(capacity / 8))) end
    if of[1] then
      redis.call('HSET', task, 'msg', ARGV[1], 'lane', lane, 'state', 'scheduled', 'pending_since', '0')
      redis.call('ZADD', KEYS[1] .. 'scheduled', 32503680000, id)
      redis.call('RPUSH', KEYS[2] .. 'waiting:' .. lane, id)
      settled = true
    elseif not of[5] and (window == 0 or n <= window) and (not capacity or released <= capacity)
      and redis.call('HSETNX', KEYS[2] .. 'held', id, lane) == 1 then
      local time = clock()
      redis.call('HSET', task, 'msg', ARGV[1], 'lane', lane, 'state', 'pending',
        'pending_since', time[1] .. string.format('%06d', time[2]) .. '000')
      redis.call('LPUSH', KEYS[1] .. 'pending', id)
      redis.call('HSET', bounds, slots, string.format('%d', n), 'released', string.format('%d', released))
      settled = true
    end
  end
end
if settled then
  for _, step in ipairs(steps) do step.apply(step.keys, step.args) end
  return 1
end
--[[LANES]]
if state == 'archived' then -- buried; somebody runs it once more
  redis.call('ZREM', queue .. 'archived', id)
  redis.call('DEL', task)
end
load('waits:' .. lane, 'limit:' .. lane, 'slots:' .. lane, 'released', 'site_limit', 'capacity', 'until', 'waiting')
local concurrency, not_before = tonumber(ARGV[4]), tonumber(ARGV[5])
local moved = number('limit:' .. lane) ~= concurrency
if moved then
  set('limit:' .. lane, concurrency)
  unpark(lane)
end
if not_before > 0 and not_before > now() then
  mark(id, 'scheduled', lane, ARGV[1])
  redis.call('ZADD', delayed, due(not_before), id)
else
  admit(id, lane, ARGV[1])
end
if moved then promote(10) end
save()

for _, step in ipairs(steps) do step.apply(step.keys, step.args) end
return 1
