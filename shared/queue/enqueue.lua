-- Puts a task into its queue together with the steps that ride along.
--
-- KEYS[1]  asynq:{queue}:t:<id>     hash of the task
-- KEYS[2]  asynq:{queue}:pending    list of the queue
-- KEYS[3…] the keys of the first step, then those of the second …
-- ARGV[1]  task message, encoded by asynq
-- ARGV[2]  task ID
-- ARGV[3]  now, Unix ns
-- ARGV[4…] for each step: the number of its keys, the number of its arguments, the arguments
-- Result   1: the task is in the queue, now or from an earlier try, and all
--          steps are applied; otherwise what the check of a step returned, and
--          nothing was written.
-- Atomic: all checks run before the first write. A Lua error in an Apply leaves
-- a task whose record is missing; it is written last for that reason, because a
-- worker drops such a task, while a record without a task would wait for ever.
local steps = {
--[[STEPS]]
}

local key, arg = 3, 4
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

if redis.call("EXISTS", KEYS[1]) == 0 then
  redis.call("HSET", KEYS[1], "msg", ARGV[1], "state", "pending", "pending_since", ARGV[3])
  redis.call("LPUSH", KEYS[2], ARGV[2])
end

for _, step in ipairs(steps) do step.apply(step.keys, step.args) end
return 1
