-- Body of the script that opens the next attempt of each of some invocations of one
-- kind, after record.lua.
--
-- KEYS[1…4] pins, index, counts and outbox, as in record.lua
-- KEYS[5…] for each invocation: record, log
-- ARGV     for each invocation:
--            worker, as a JSON string
--            token of this call, so that a repetition by the driver is known
--            retention of a cancelled record, ms
--            retention of a dead record, ms
-- Result   for each invocation one of
--            the number of the attempt, which is open
--            "finished": no attempt may follow
--            "missing"
--            an error, which leaves the others as they are
--          or one error for all, if Redis takes no writes at the moment
--
-- Before it stand maxCrashes, which is how many lost workers make an invocation
-- dead, and workerLost, the failure of the last of those attempts, as JSON.
--
-- Atomic: an attempt that a dead worker left open is closed, and the invocation is
-- then running, dead or cancelled; nobody sees anything in between.
local pins, index, counts, outbox = unpack(KEYS, 1, 4)
local key = 3

local function begin(worker, token, cancelledFor, deadFor)
  key = key + 2
  local KEYS = {KEYS[key], KEYS[key + 1], pins, index, counts, outbox}
  local state, attempt, begun, cancel, crashes, attempts, started, id, site, fn, created, pin, callback, awaited, batch =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'begin', 'cancel', 'crashes', 'attempts', 'started',
      'id', 'site', 'function', 'created', 'pin', 'callback', 'awaited', 'batch'))
  if not state then return 'missing' end
  if state == 'running' and begun == token then return tonumber(attempt) end
  local r = {
    state = state, id = id, site = site, ['function'] = fn, created = created,
    pin = pin, callback = callback, awaited = awaited, batch = batch, short = false,
  }

  local to, retention, failure = 'running', 0, ''
  if state == 'running' then
    crashes = (crashes or 0) + 1
    if crashes >= maxCrashes then to, retention, failure = 'dead', deadFor, workerLost end
  end
  if cancel then to, retention, failure = 'cancelled', cancelledFor, '' end
  if not may(state, to) then return 'finished' end

  local journal = attempts or ''
  if state == 'running' then
    journal = journal .. close(attempt, 'worker_lost', failure)
    redis.call('HSET', KEYS[1], 'outcome', 'worker_lost', 'crashes', crashes)
  end
  if to ~= 'running' then
    enter(KEYS, r, to, retention, 'attempts', journal)
    return 'finished'
  end
  local number = string.format('%d', attempt + 1)
  journal = journal .. '{"n":' .. number .. ',"worker":' .. worker .. ',"start":' .. now() .. '}\n'
  enter(KEYS, r, to, retention, 'attempt', number, 'attempts', journal, 'begin', token, 'started', started or now())
  return tonumber(number)
end

local answers = serve(5, 4, begin)
writeRest()
return answers
