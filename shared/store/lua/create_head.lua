-- Head of the steps create and room: the sets of the index that new records are put
-- into at the end of the script, by create_tail.lua, once for all of them.
local arrivals, sizes = {}, {}

-- arrive puts a record into a set.
local function arrive(set, created, id)
  local command = arrivals[set]
  if not command then
    command = {'ZADD', set}
    arrivals[set] = command
  end
  command[#command + 1] = created
  command[#command + 1] = id
end

-- population is how many stand in a set, with those that arrive.
local function population(set)
  local size, command = sizes[set] or redis.call('ZCARD', set), arrivals[set]
  sizes[set] = size
  return command and size + (#command - 2) / 2 or size
end
