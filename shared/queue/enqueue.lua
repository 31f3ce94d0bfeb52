-- Body of the script that puts tasks into their queue, each together with the
-- steps that ride along. Where LANES stands comes lane.lua: most calls end before
-- it. One script serves all who call at the same time: what it defines, what it
-- counts and that it is called at all is a good part of what a task costs Redis.
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
--          or one error for all, if Redis takes no writes at the moment
-- Atomic: all checks of a task run before its first write. A Lua error in an Apply
-- leaves a task whose record is missing; it is written last for that reason, because
-- a worker drops such a task, while a record without a task would wait for ever.

-- tally adds to a field of a hash, at the end of the script: once for all tasks.
local tallies = {}
local function tally(key, field, n)
  local fields = tallies[key] or {}
  tallies[key] = fields
  fields[field] = (fields[field] or 0) + n
end

local steps = {
--[[STEPS]]
}

-- deal gives each step its own of the operands that begin at key and arg, and
-- returns where the next ones do.
local function deal(key, arg)
  for _, step in ipairs(steps) do
    local keys, args = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
    arg = arg + 2
    step.keys, step.args = {}, {}
    for i = 1, keys do step.keys[i] = KEYS[key + i - 1] end
    for i = 1, args do step.args[i] = ARGV[arg + i - 1] end
    key, arg = key + keys, arg + args
  end
  return key, arg
end

local function enqueue(message, id, lane, concurrency, not_before)
  for _, step in ipairs(steps) do
    local verdict = step.check(step.keys, step.args)
    if type(verdict) ~= 'number' then error('the check of a step must return an integer') end
    if verdict ~= 1 then return verdict end
  end

  local task = KEYS[1] .. 't:' .. id
  local state = redis.call('HGET', task, 'state')
  local settled = state and state ~= 'archived'

  -- The usual cases, in fewer words: what admit does with a new task when no site
  -- has a limit, and its lane has room, or tasks that wait.
  if not state and not_before == '0' then
    local bounds, slots = KEYS[2] .. 'bounds', 'slots:' .. lane
    local of = redis.call('HMGET', bounds, 'waits:' .. lane, 'limit:' .. lane, slots, 'released', 'site_limit', 'capacity', 'until')
    local window = tonumber(of[2] or 0)
    if window == tonumber(concurrency) then
      local n, released, capacity = (of[3] or 0) + 1, (of[4] or 0) + 1, of[7] and tonumber(of[6] or 0)
      if window == 0 and capacity then window = math.max(1, capacity - math.max(1, math.floor(capacity / 8))) end
      if of[1] then
        redis.call('HSET', task, 'msg', message, 'lane', lane, 'state', 'scheduled', 'pending_since', '0')
        redis.call('ZADD', KEYS[1] .. 'scheduled', '32503680000', id)
        redis.call('RPUSH', KEYS[2] .. 'waiting:' .. lane, id)
        settled = true
      elseif not of[5] and (window == 0 or n <= window) and (not capacity or released <= capacity)
        and redis.call('HSETNX', KEYS[2] .. 'held', id, lane) == 1 then
        local time = clock()
        redis.call('HSET', task, 'msg', message, 'lane', lane, 'state', 'pending',
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

  for _, step in ipairs(steps) do step.apply(step.keys, step.args) end
  return 1
end

-- refused says whether an error is that of a Redis that takes no writes at the
-- moment, whosever they are. The text refusals is put before the script.
local function refused(text)
  return string.find(refusals, ' ' .. (string.match(text, '^%u+') or '') .. ' ', 1, true) ~= nil
end

local verdicts, written, key, arg = {}, false, 3, 1
while arg <= #ARGV do
  local message, id, lane, concurrency, not_before = unpack(ARGV, arg, arg + 4)
  key, arg = deal(key, arg + 5)
  local ok, verdict = pcall(enqueue, message, id, lane, concurrency, not_before)
  if not ok then
    local text = type(verdict) == 'table' and verdict.err or tostring(verdict)
    -- That it comes out of a script, Redis says only of errors that end one.
    if not string.find(text, 'user_script', 1, true) then text = text .. ' (user_script)' end
    -- The driver looks for these itself, and then for another server.
    if refused(text) and not written then return redis.error_reply(text) end
    -- Any other code than ERR: the driver would stop reading the list at one that
    -- it knows, and take what is left of it for the next answer.
    verdict = redis.error_reply('ERR ' .. text)
  end
  written = written or verdict == 1
  verdicts[#verdicts + 1] = verdict
end
for hash, fields in pairs(tallies) do
  for field, n in pairs(fields) do
    redis.call('HINCRBY', hash, field, string.format('%d', n))
  end
end
return verdicts
