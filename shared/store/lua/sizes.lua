-- Counts the records of a site by state.
--
-- KEYS[1] what the names of the index's sets begin with
-- ARGV[1] site
-- ARGV[2…] states
--
-- Result: how many are in each, in that order.
--
-- Atomic: a record that moves is counted in one state.
local sizes = {}
for i = 2, #ARGV do
  sizes[#sizes + 1] = redis.call('ZCARD', KEYS[1] .. ARGV[i] .. ':' .. ARGV[1])
end
return sizes
