-- Counts the records of a site by the minute in which they were made, and by state.
--
-- KEYS[1] what the names of the index's sets begin with
-- ARGV[1] site
-- ARGV[2] begin of the first minute, ms
-- ARGV[3] how many minutes
-- ARGV[4…] states
--
-- Result: for each minute, how many are in each state, in that order.
--
-- Atomic: a record that moves is counted in one state.
local first, minutes, states = tonumber(ARGV[2]), tonumber(ARGV[3]), #ARGV - 3
local counts = {}
for i = 1, minutes * states do
  counts[i] = 0
end
for s = 1, states do
  local set = KEYS[1] .. ARGV[3 + s] .. ':' .. ARGV[1]
  if redis.call('EXISTS', set) == 1 then
    for m = 0, minutes - 1 do
      local from = first + m * 60000
      counts[m * states + s] = redis.call('ZCOUNT', set, string.format('%.0f', from), string.format('%.0f', from + 59999))
    end
  end
end
return counts
