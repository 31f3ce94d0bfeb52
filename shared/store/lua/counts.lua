-- Reads how many records were made, are in each state, and were ended.
--
-- KEYS[1] what the names of the index's sets begin with
-- KEYS[2] counts
--
-- Result: accepted, queued, running, failed, succeeded, dead, cancelled.
--
-- Atomic: a record that moves is counted in one state, so what was accepted is
-- what is there and what has ended, at every moment.
local accepted, succeeded, dead, cancelled = unpack(redis.call('HMGET', KEYS[2], 'accepted', 'succeeded', 'dead', 'cancelled'))
local function size(state)
  return redis.call('ZCARD', KEYS[1] .. state)
end
return {
  tonumber(accepted or 0), size('queued'), size('running'), size('failed'),
  tonumber(succeeded or 0), tonumber(dead or 0), tonumber(cancelled or 0),
}
