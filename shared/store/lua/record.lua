-- Head of begin.lua, finish.lua, cancel.lua and retry_apply.lua, after index.lua:
-- what every move of a record needs. The record is a hash; running means that its
-- newest attempt is open. A record's moves are checked against the list that the
-- caller passes, which comes from the one table of package invocation.
--
-- KEYS[1] record
-- KEYS[2] log
-- KEYS[3] pins by deploy
-- KEYS[4] what the names of the index's sets begin with
-- KEYS[5] counts
-- KEYS[6] outbox of callbacks
-- ARGV[1] allowed moves
-- ARGV[2] channel on which ends are told that somebody waits for
local record, log, pins, index, counts, outbox = unpack(KEYS)

-- untoldFor is how long a finished record is kept at least for its callback, ms:
-- a day, in which no worker may be there to make it. Package store has it too.
local untoldFor = 24 * 60 * 60 * 1000

-- now is Redis's clock in milliseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- may reports whether the record may go from one state to another.
local function may(from, to)
  return string.find(' ' .. ARGV[1] .. ' ', ' ' .. from .. '>' .. to .. ' ', 1, true) ~= nil
end

-- note appends a line to the journal of attempts. The parts of other origin in
-- it are JSON already, so no JSON is parsed or written here.
local function note(line)
  redis.call('HSET', record, 'attempts', (redis.call('HGET', record, 'attempts') or '') .. line .. '\n')
end

-- close ends the open attempt in the journal. failure is JSON or empty.
local function close(number, at, outcome, failure)
  local line = '{"n":' .. number .. ',"end":' .. at .. ',"outcome":"' .. outcome .. '"'
  if failure ~= '' then
    line = line .. ',"error":' .. failure
  end
  note(line .. '}')
  redis.call('HSET', record, 'outcome', outcome)
end

-- unpin takes back what the record holds of its deploy: once, whatever comes.
local function unpin()
  local deploy = redis.call('HGET', record, 'pin')
  if not deploy then
    return
  end
  redis.call('HDEL', record, 'pin')
  if redis.call('HINCRBY', pins, deploy, -1) <= 0 then
    redis.call('HDEL', pins, deploy)
  end
end

-- enter puts the record into a state, from another one or the same. retention is
-- in milliseconds, and 0 for the states that are not terminal.
local function enter(from, state, at, retention)
  local r = {}
  local callback, awaited
  r.id, r.site, r.fn, r.created, callback, awaited =
    unpack(redis.call('HMGET', record, 'id', 'site', 'function', 'created', 'callback', 'awaited'))
  if from == 'failed' then
    redis.call('HDEL', record, 'next')
  end
  relist(index, counts, r, from, state, at + retention)
  if not terminal[state] then
    redis.call('HSET', record, 'state', state)
    if state == 'queued' then redis.call('HSET', record, 'requeued', at) end
    return
  end
  unpin()
  redis.call('HSET', record, 'state', state, 'finished', at)
  if callback then
    redis.call('ZADD', outbox, at, r.id)
    retention = math.max(tonumber(retention), untoldFor)
  end
  redis.call('PEXPIRE', record, retention)
  redis.call('PEXPIRE', log, retention)
  if awaited then
    redis.call('PUBLISH', ARGV[2], r.id)
  end
end

