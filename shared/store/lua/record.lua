-- Head of begin.lua, finish.lua and cancel.lua: what every move of a record
-- needs. The record is a hash; running means that its newest attempt is open.
-- A record's moves are checked against the list that the caller passes, which
-- comes from the one table of package invocation. KEYS[4] is the outbox of
-- callbacks in all of them.

-- toldFor is how long a record with a callback is kept at least for it, ms: a
-- day, in which no worker may be there to make it.
local toldFor = 24 * 60 * 60 * 1000

-- now is Redis's clock in milliseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- may reports whether "from>to" stands in the space-separated list of moves.
local function may(from, to, moves)
  return string.find(' ' .. moves .. ' ', ' ' .. from .. '>' .. to .. ' ', 1, true) ~= nil
end

-- note appends a line to the journal of attempts. The parts of other origin in
-- it are JSON already, so no JSON is parsed or written here.
local function note(record, line)
  redis.call('HSET', record, 'attempts', (redis.call('HGET', record, 'attempts') or '') .. line .. '\n')
end

-- close ends the open attempt in the journal. failure is JSON or empty.
local function close(record, number, at, outcome, failure)
  local line = '{"n":' .. number .. ',"end":' .. at .. ',"outcome":"' .. outcome .. '"'
  if failure ~= '' then
    line = line .. ',"error":' .. failure
  end
  note(record, line .. '}')
  redis.call('HSET', record, 'outcome', outcome)
end

-- unpin takes back what the record holds of its deploy: once, whatever comes.
local function unpin(record, pins)
  local deploy = redis.call('HGET', record, 'pin')
  if not deploy then
    return
  end
  redis.call('HDEL', record, 'pin')
  if redis.call('HINCRBY', pins, deploy, -1) <= 0 then
    redis.call('HDEL', pins, deploy)
  end
end

-- enter puts the record into a state. retention is in milliseconds, and 0 for
-- the states that are not terminal. A terminal one is told, if there is a callback.
local function enter(record, log, pins, state, at, retention)
  redis.call('HSET', record, 'state', state)
  redis.call('HDEL', record, 'next')
  if tonumber(retention) > 0 then
    unpin(record, pins)
    redis.call('HSET', record, 'finished', at)
    if redis.call('HEXISTS', record, 'callback') == 1 then
      redis.call('ZADD', KEYS[4], at, redis.call('HGET', record, 'id'))
      retention = math.max(tonumber(retention), toldFor)
    end
    redis.call('PEXPIRE', record, retention)
    redis.call('PEXPIRE', log, retention)
  end
end
