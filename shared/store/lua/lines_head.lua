-- Head of lines_check.lua and lines_apply.lua where they ride with no other step: as
-- much of record.lua as they call. To define all of that costs more than they do.

local ended = {succeeded = true, dead = true, cancelled = true}

local record
local function look(key)
  if not record then
    local state, attempt, batch = unpack(redis.call('HMGET', key, 'state', 'attempt', 'batch'))
    record = {state = state, attempt = attempt, batch = batch}
  end
  return record
end

local batches = {}
local function writeRest()
  for key, last in pairs(batches) do redis.call('HSET', key, 'batch', last.batch, 'log', last.log) end
end

