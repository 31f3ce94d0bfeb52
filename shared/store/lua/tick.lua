-- Head of fire_check.lua, fire_apply.lua, skip.lua and suppress.lua: what every
-- move of a schedule's cursor needs. The list bounds, upper bounds of lateness in
-- ms, is put before it.
--
-- A cursor is the newest tick that was dealt with. Whoever moves it says where
-- it believes the cursor to be, so that each tick is covered by exactly one
-- entry of the ledger, also after Redis has lost its newest second.

-- late is how long ago a tick was due by Redis's clock, in ms, 0 or more.
local function late(tick)
  local t = redis.call('TIME')
  return math.max(0, t[1] * 1000 + math.floor(t[2] / 1000) - tonumber(tick))
end

-- stands says whether a term may move the cursor of a schedule from after to
-- tick: 1, or FireSuperseded, FireUnknown, FireAlready. A term other than the
-- newest is refused, also one that Redis does not remember: after a loss of data
-- the leader has to begin a term again, and no two leaders are ever taken for one.
local function stands(termKey, cursorsKey, term, key, tick, after)
  if redis.call('GET', termKey) ~= term then
    return -2
  end
  local cursor = redis.call('HGET', cursorsKey, key)
  if not cursor then
    return -3
  end
  if tonumber(cursor) >= tonumber(tick) then
    return -1
  end
  if tonumber(cursor) ~= tonumber(after) then
    return -3
  end
  return 1
end

-- enter appends an entry to a ledger. Its ID is the tick, so entries are in
-- order and none is there twice. Where that is impossible, because the clock of
-- Redis was once set back, the ID is of the moment and the tick stands in a
-- field: a ledger must never keep a tick from firing. It reports whether the
-- entry has the wanted ID. All entries have the same fields in the same order,
-- which Redis then stores once.
local function enter(ledger, id, tick, length, outcome, lateness, count, from, what, always)
  local entry = {'o', outcome, 'l', lateness, 'n', count, 'f', from, 'w', what}
  local added = redis.pcall('XADD', ledger, 'MAXLEN', '~', length, id, 't', 0, unpack(entry))
  if type(added) == 'table' and added.err then
    if always then
      redis.call('XADD', ledger, 'MAXLEN', '~', length, '*', 't', tick, unpack(entry))
    end
    return false
  end
  return true
end
