-- Body of the script that puts a task into its queue together with the steps
-- that ride along; the head is lane.lua.
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

local id, lane = ARGV[2], ARGV[3]
local state = redis.call('HGET', tasks .. id, 'state')
if state == 'archived' then -- buried; somebody runs it once more
  redis.call('ZREM', queue .. 'archived', id)
  redis.call('DEL', tasks .. id)
  state = false
end
if not state then
  load('capacity', 'until', 'site_limit', 'released', 'waiting', 'slots:' .. lane, 'limit:' .. lane, 'waits:' .. lane)
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
end

for _, step in ipairs(steps) do step.apply(step.keys, step.args) end
return 1
