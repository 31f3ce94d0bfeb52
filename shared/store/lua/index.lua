-- Head of every script that moves a record: the index, in which records are
-- listed by state, site and function, and the counts. The names of the sets are
-- made here, from what the caller says that they begin with; all share its slot.
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

-- add lists a record under a state. r has id, site, fn and created.
local function add(index, r, state, expiry)
  local own = state .. ':' .. r.site
  redis.call('ZADD', index .. own, r.created, r.id)
  redis.call('ZADD', index .. own .. ':' .. r.fn, r.created, r.id)
  if terminal[state] then
    redis.call('ZADD', index .. 'expiry', expiry, r.id .. ':' .. own .. ':' .. r.fn)
  else
    redis.call('ZADD', index .. state, r.created, r.id)
  end
end

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

-- relist moves a record from one state's lists to another's, and counts. One
-- that was made before there was an index is accepted with its first move.
local function relist(index, counts, r, from, to, expiry)
  if from == to then
    return
  end
  if not remove(index, r, from) then
    redis.call('HINCRBY', counts, 'accepted', 1)
  elseif terminal[from] then
    redis.call('HINCRBY', counts, from, -1)
  end
  add(index, r, to, expiry)
  if terminal[to] then
    redis.call('HINCRBY', counts, to, 1)
  end
end

