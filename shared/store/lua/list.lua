-- Lists records of a site, newest first.
--
-- KEYS[1] what the names of the index's sets begin with
-- KEYS[2] what the names of records begin with; it is the name of no key itself
-- ARGV[1] names of the sets to merge, without what they begin with, separated by spaces
-- ARGV[2] least time of creation, ms
-- ARGV[3] greatest time of creation, ms
-- ARGV[4] ID before which a record of that greatest time must stand; empty: any
-- ARGV[5] deploy that the records are of; empty: any
-- ARGV[6] how many records, at most
-- ARGV[7] how many entries are looked at, at most
-- ARGV[8…] fields to read; the first of them is the ID
--
-- Result: {1 if the sets are exhausted, else 0; time of creation of the last
-- entry looked at; its ID; records, each a list of its fields' values}.
--
-- Atomic: a record that moves from set to set is seen once. Entries of records
-- that have expired are removed. Records share the slot of the index.
local index, records, least, greatest = KEYS[1], KEYS[2], ARGV[2], ARGV[3]
local before, deploy, limit, effort = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local chunk = math.min(limit + 1, 100)

local cursors = {}
for name in string.gmatch(ARGV[1], '%S+') do
  cursors[#cursors + 1] = {set = index .. name, offset = 0, at = 1, entries = {}, gone = {}}
end

-- peek is the ID and the time of the entry that a cursor stands at, or nil.
local function peek(c)
  if c.over then
    return nil
  end
  if not c.entries[c.at] then
    c.entries = redis.call('ZREVRANGEBYSCORE', c.set, greatest, least, 'WITHSCORES', 'LIMIT', c.offset, chunk)
    c.offset, c.at = c.offset + chunk, 1
    if #c.entries == 0 then
      c.over = true
      return nil
    end
  end
  local id, created = c.entries[c.at], tonumber(c.entries[c.at + 1])
  if before ~= '' and created == tonumber(greatest) and id >= before then
    c.at = c.at + 2
    return peek(c)
  end
  return id, created
end

local found, looked, id, created = {}, 0, '', 0
while #found < limit and looked < effort do
  local newest, newestID, newestAt
  for _, c in ipairs(cursors) do
    local i, at = peek(c)
    if i and (not newest or at > newestAt or (at == newestAt and i > newestID)) then
      newest, newestID, newestAt = c, i, at
    end
  end
  if not newest then
    break
  end
  id, created, looked = newestID, newestAt, looked + 1
  newest.at = newest.at + 2
  local of = deploy
  if deploy ~= '' then
    of = redis.call('HGET', records .. id, 'deploy')
  end
  local values = of == deploy and redis.call('HMGET', records .. id, unpack(ARGV, 8))
  if not of or values and not values[1] then
    newest.gone[#newest.gone + 1] = id
  elseif values then
    found[#found + 1] = values
  end
end

local exhausted = 1
for _, c in ipairs(cursors) do
  if peek(c) then
    exhausted = 0
  end
end
for _, c in ipairs(cursors) do
  for _, gone in ipairs(c.gone) do
    redis.call('ZREM', c.set, gone)
  end
end
return {exhausted, string.format('%.0f', created), id, found}
