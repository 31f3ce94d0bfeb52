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
--            {field, value, …}: the whole record, in which of a field that stands
--              there twice the first value counts, and an empty one says that it is gone
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
  local answer = redis.call('HGETALL', KEYS[1])
  local r = {
    state = false, attempt = false, begin = false, cancel = false, crashes = false, attempts = false, started = false, next = false,
    id = false, site = false, ['function'] = false, created = false, pin = false, callback = false, awaited = false,
  }
  for i = 1, #answer, 2 do
    local field = answer[i]
    if r[field] == false then r[field] = answer[i + 1] end
  end
  if not r.state then return 'missing' end
  if r.state == 'running' and r.begin == token then return answer end

  local to, retention, failure = 'running', 0, ''
  local crashes = tonumber(r.crashes or 0)
  if r.state == 'running' then
    crashes = crashes + 1
    if crashes >= maxCrashes then to, retention, failure = 'dead', deadFor, workerLost end
  end
  if r.cancel then to, retention, failure = 'cancelled', cancelledFor, '' end
  if not may(r.state, to) then return 'finished' end

  local journal = r.attempts or ''
  if r.state == 'running' then
    journal = journal .. close(r.attempt, 'worker_lost', failure)
    redis.call('HSET', KEYS[1], 'outcome', 'worker_lost', 'crashes', crashes)
  end
  if to ~= 'running' then
    enter(KEYS, r, to, retention, 'attempts', journal)
    return 'finished'
  end
  local number = string.format('%d', r.attempt + 1)
  journal = journal .. '{"n":' .. number .. ',"worker":' .. worker .. ',"start":' .. now() .. '}\n'
  local started = r.started or now()
  enter(KEYS, r, to, retention, 'attempt', number, 'attempts', journal, 'begin', token, 'started', started)
  return {'state', to, 'attempt', number, 'attempts', journal, 'started', started, 'next', '', unpack(answer)}
end

local answers = serve(5, 4, begin)
writeRest()
return answers
