-- Head of every script in which steps ride, after clock.lua and the text refusals.
--
-- KEYS  the shared keys; then for each call the keys of its first step, of its second …
-- ARGV  for each call: its own arguments; then for each step the number of its
--       keys, the number of its arguments, the arguments

-- tally adds to a field of a hash, at the end of the script: once for all calls.
local tallies = {}
local function tally(key, field, n)
  local fields = tallies[key] or {}
  tallies[key] = fields
  fields[field] = (fields[field] or 0) + n
end

--[[HEADS]]
local steps = {
--[[STEPS]]
}

-- deal gives each step its own of the operands that begin at key and arg, and
-- returns where the next ones do.
local function deal(key, arg)
  for _, step in ipairs(steps) do
    local keys, args = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
    arg = arg + 2
    step.keys, step.args = {unpack(KEYS, key, key + keys - 1)}, {unpack(ARGV, arg, arg + args - 1)}
    key, arg = key + keys, arg + args
  end
  return key, arg
end

-- check is what the first unwilling step says, or 1.
local function check()
  for _, step in ipairs(steps) do
    local verdict = step.check(step.keys, step.args)
    if type(verdict) ~= 'number' then error('the check of a step must return an integer') end
    if verdict ~= 1 then return verdict end
  end
  return 1
end

local function apply()
  for _, step in ipairs(steps) do step.apply(step.keys, step.args) end
end

-- refused says whether an error is that of a Redis that takes no writes at the
-- moment, whosever they are.
local function refused(text)
  return string.find(refusals, ' ' .. (string.match(text, '^%u+') or '') .. ' ', 1, true) ~= nil
end

-- serve runs one function for each call, with the call's own arguments, n of them,
-- and returns the list of what it returned. The keys of the first call's steps
-- begin at key. An error is the call's own and leaves the others as they are; but
-- if Redis takes no writes and none were made, it is returned for all.
local function serve(key, n, run)
  local results, written, arg = {}, false, 1
  while arg <= #ARGV do
    local own = {unpack(ARGV, arg, arg + n - 1)}
    key, arg = deal(key, arg + n)
    local ok, result = pcall(run, unpack(own))
    if not ok then
      local text = type(result) == 'table' and result.err or tostring(result)
      -- That it comes out of a script, Redis says only of errors that end one.
      if not string.find(text, 'user_script', 1, true) then text = text .. ' (user_script)' end
      -- The driver looks for these itself, and then for another server.
      if refused(text) and not written then return redis.error_reply(text) end
      -- Any other code than ERR: the driver would stop reading the list at one that
      -- it knows, and take what is left of it for the next answer.
      result = redis.error_reply('ERR ' .. text)
    end
    written = written or result == 1
    results[#results + 1] = result
  end
--[[TAILS]]
  for hash, fields in pairs(tallies) do
    for field, count in pairs(fields) do
      redis.call('HINCRBY', hash, field, string.format('%d', count))
    end
  end
  return results
end
