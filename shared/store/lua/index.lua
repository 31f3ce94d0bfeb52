-- Head of trim.lua: the index, in which records are listed by state, site and
-- function. The names of the sets are made of what the caller says that they begin
-- with; all share its slot. create_apply.lua enters a new record, and record.lua
-- moves it from state to state.
--
--   <index><state>:<site>             time of creation → id
--   <index><state>:<site>:<function>  time of creation → id
--   <index><state>                    the same, for states that are not terminal
--   <index>expiry                     expiry of the record → id:state:site:function,
--                                     for terminal ones, so that trim.lua finds
--                                     the entries of records that are gone
--
-- A record stands in the sets of its state, and in those only.

local terminal = {succeeded = true, dead = true, cancelled = true}

-- remove takes a record off the lists of a state, and says whether it was there.
local function remove(index, r, state)
  local own = state .. ':' .. r.site
  redis.call('ZREM', index .. own, r.id)
  redis.call('ZREM', index .. own .. ':' .. r.fn, r.id)
  if terminal[state] then
    return redis.call('ZREM', index .. 'expiry', r.id .. ':' .. own .. ':' .. r.fn) == 1
  end
  return redis.call('ZREM', index .. state, r.id) == 1
end

