-- Head of the scripts and steps that write to records: begin.lua, end_check.lua and
-- end_apply.lua, lines_check.lua and lines_apply.lua, cancel.lua, retry_apply.lua.
-- The record is a hash; running means that its newest attempt is open.
--
-- Before it stand the clock, and two words of package store: moves, which are all
-- the moves that its one table allows, and finishedChannel, on which ends are told
-- that somebody waits for.
--
-- One script may move many records, and most of what that costs Redis is the number
-- of commands. So a record is read once and written once, and what can be said of
-- many records in one command is put off to the end of the script, where writeRest
-- writes it: entries of the index, counts, pins. Nobody sees anything in between.
--
-- A table that grows entry by entry is slow. Those to which many are added begin with
-- room for some: the nils in a constructor are that.
--
-- To move a record takes these keys, in this order:
--   KEYS[1] record
--   KEYS[2] log
--   KEYS[3] pins by deploy
--   KEYS[4] what the names of the index's sets begin with, see index.lua
--   KEYS[5] counts
--   KEYS[6] outbox of callbacks

-- untoldFor is how long a finished record is kept at least for its callback, ms:
-- a day, in which no worker may be there to make it. Package store has it too.
local untoldFor = 24 * 60 * 60 * 1000

local ended = {succeeded = true, dead = true, cancelled = true}

-- may reports whether a record may go from one state to another.
local function may(from, to)
  return string.find(moves, ' ' .. from .. '>' .. to .. ' ', 1, true) ~= nil
end

-- now is Redis's clock in ms, and later the time that many ms from now, as text.
local instant
local function now()
  instant = instant or millis()
  return instant
end
local instants = {}
local function later(ms)
  instants[ms] = instants[ms] or string.format('%.0f', now() + ms)
  return instants[ms]
end

-- look reads of a record what the steps need to know. Those of a script that look
-- at the same one share what was read, and what a Check leaves in to and retention
-- for its Apply.
local looked = {}
local function look(key)
  local r = looked[key]
  if not r then
    local state, attempt, outcome, cancel, attempts, failures, batch, id, site, fn, created, pin, callback, awaited =
      unpack(redis.call('HMGET', key, 'state', 'attempt', 'outcome', 'cancel', 'attempts', 'failures', 'batch',
        'id', 'site', 'function', 'created', 'pin', 'callback', 'awaited'))
    r = {
      state = state, attempt = attempt, outcome = outcome, cancel = cancel, attempts = attempts,
      failures = failures, batch = batch, id = id, site = site, ['function'] = fn, created = created,
      pin = pin, callback = callback, awaited = awaited, to = false, retention = false, short = false,
    }
    looked[key] = r
  end
  return r
end

-- What is put off: commands that take records off sets and put them onto others,
-- by set; where that takes no record off, whose counts do not know it; sums of the
-- hashes of counts and pins, by key and field; and what lines_apply.lua leaves in the
-- fields batch and log, by record.
local leaving, joining, listed, counted, pinned, batches = {}, {}, {}, {}, {}, {}
local moved = {}

local function sum(sums, key, field, n)
  local fields = sums[key]
  if not fields then
    fields = {}
    sums[key] = fields
  end
  fields[field] = (fields[field] or 0) + n
end

local function leave(set, id)
  local command = leaving[set]
  if command then
    command[#command + 1] = id
  else
    leaving[set] = {'ZREM', set, id, nil, nil, nil, nil, nil}
  end
end

local function join(set, score, id)
  local command = joining[set]
  if not command then
    joining[set] = {'ZADD', set, score, id, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}
    return
  end
  local n = #command
  command[n + 1], command[n + 2] = score, id
end

-- relist makes the changes of the index that were put off.
local function relist()
  for set, command in pairs(leaving) do
    local missed = #command - 2 - redis.call(unpack(command))
    if missed > 0 and listed[set] then sum(counted, listed[set], 'accepted', missed) end
  end
  for _, command in pairs(joining) do redis.call(unpack(command)) end
  leaving, joining, moved = {}, {}, {}
end

-- list moves a record from one state's lists to another's, and counts. One that was
-- made before there was an index is accepted with its first move.
local function list(index, counts, r, from, to, expiry)
  local id, site, fn = r.id, ':' .. r.site, ':' .. r.site .. ':' .. r['function']
  if moved[id] then relist() end -- the order matters to one that moves twice
  moved[id] = true
  leave(index .. from .. site, id)
  leave(index .. from .. fn, id)
  if not ended[from] then
    listed[index .. from] = counts
    leave(index .. from, id)
  elseif redis.call('ZREM', index .. 'expiry', id .. ':' .. from .. fn) == 1 then
    sum(counted, counts, from, -1)
  else
    sum(counted, counts, 'accepted', 1)
  end
  join(index .. to .. site, r.created, id)
  join(index .. to .. fn, r.created, id)
  if ended[to] then
    join(index .. 'expiry', expiry, id .. ':' .. to .. fn)
    sum(counted, counts, to, 1)
  else
    join(index .. to, r.created, id)
  end
end

-- close makes the line of the journal that ends an attempt. The journal is a field
-- of the record, and its parts of other origin are JSON already, so no JSON is
-- parsed or written here. failure is JSON or empty.
local function close(number, outcome, failure)
  if failure ~= '' then failure = ',"error":' .. failure end
  return '{"n":' .. number .. ',"end":' .. now() .. ',"outcome":"' .. outcome .. '"' .. failure .. '}\n'
end

-- enter puts a record into a state, from another one or the same. What else changes
-- of it follows: field, value, … retention is in ms, and only that of states that
-- are not left by themselves matters.
local function enter(KEYS, r, to, retention, ...)
  local record, from = KEYS[1], r.state
  -- What the record holds of its deploy is taken back once, whatever comes.
  local pin = ended[to] and r.pin and r.pin ~= '' and r.pin
  if pin then
    redis.call('HSET', record, 'state', to, 'finished', now(), 'pin', '', ...)
    sum(pinned, KEYS[3], pin, -1)
  elseif ended[to] then
    redis.call('HSET', record, 'state', to, 'finished', now(), ...)
  elseif to == 'queued' then
    redis.call('HSET', record, 'state', to, 'requeued', now(), ...)
  else
    redis.call('HSET', record, 'state', to, ...)
  end
  looked[record] = nil
  if from == 'failed' then redis.call('HDEL', record, 'next') end
  if from ~= to then list(KEYS[4], KEYS[5], r, from, to, later(retention)) end
  if not ended[to] then return end

  if r.callback then
    redis.call('ZADD', KEYS[6], now(), r.id)
    retention = math.max(tonumber(retention), untoldFor)
  end
  redis.call('PEXPIRE', record, retention)
  if r.batch and not r.short then redis.call('PEXPIRE', KEYS[2], retention) end
  if r.awaited then redis.call('PUBLISH', finishedChannel, r.id) end
end

-- writeRest writes what was put off.
local function writeRest()
  relist()
  for key, fields in pairs(counted) do
    for field, n in pairs(fields) do redis.call('HINCRBY', key, field, n) end
  end
  for key, deploys in pairs(pinned) do
    for deploy, n in pairs(deploys) do
      if redis.call('HINCRBY', key, deploy, n) <= 0 then redis.call('HDEL', key, deploy) end
    end
  end
  for record, last in pairs(batches) do redis.call('HSET', record, 'batch', last.batch, 'log', last.log) end
end

