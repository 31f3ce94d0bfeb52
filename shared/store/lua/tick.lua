-- Head of fire_check.lua, fire_apply.lua, skip.lua and suppress.lua: what every
-- move of a schedule's cursor needs. The clock is put before it.
--
-- A cursor is the newest tick that was dealt with. Whoever moves it says where
-- it believes the cursor to be, so that each tick is covered by exactly one
-- entry of the ledger, also after Redis has lost its newest second.

-- late is how long ago a tick was due by Redis's clock, in ms, 0 or more.
local function late(tick)
  return math.max(0, millis() - tick)
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

-- enter puts an entry at the head of a ledger. It is a list, and an entry is text
-- of six words, the last of which may be empty; Ledger reads it.
local function enter(ledger, length, tick, outcome, lateness, count, from, what)
  local entries = redis.call('LPUSH', ledger,
    tick .. ' ' .. outcome .. ' ' .. string.format('%d', lateness) .. ' ' .. count .. ' ' .. from .. ' ' .. what)
  if entries > length + 100 then -- seldom: each time costs
    redis.call('LTRIM', ledger, '0', length - 1)
  end
end
