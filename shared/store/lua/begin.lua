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
--              there twice the last value counts, and an empty one says that it is gone
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
local shared, key = {unpack(KEYS, 1, 4)}, 3

local function begin(worker, token, cancelledFor, deadFor)
  key = key + 2
  local KEYS = {KEYS[key], KEYS[key + 1], unpack(shared)}
  local answer, r = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #answer, 2 do r[answer[i]] = answer[i + 1] end
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

  local journal, write = r.attempts or '', {'HSET', KEYS[1]}
  if r.state == 'running' then
    journal = journal .. close(r.attempt, 'worker_lost', failure)
    write = {'HSET', KEYS[1], 'outcome', 'worker_lost', 'crashes', crashes}
  end
  local first = #write + 1
  write[first] = 'attempts'
  if to ~= 'running' then
    write[first + 1] = journal
    enter(KEYS, r, to, retention, write)
    return 'finished'
  end
  local number = string.format('%d', r.attempt + 1)
  write[first + 1] = journal .. '{"n":' .. number .. ',"worker":' .. worker .. ',"start":' .. now() .. '}\n'
  write[first + 2], write[first + 3] = 'attempt', number
  write[first + 4], write[first + 5] = 'begin', token
  if not r.started then write[first + 6], write[first + 7] = 'started', now() end
  enter(KEYS, r, to, retention, write)
  -- What was written, the state at the end, goes behind what was read.
  local n = #answer + 1 - first
  for i = first, #write do answer[n + i] = write[i] end
  if r.next then
    n = #answer
    answer[n + 1], answer[n + 2] = 'next', ''
  end
  return answer
end

local answers = serve(5, 4, begin)
writeRest()
return answers
