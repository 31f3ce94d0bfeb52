-- Reads how the newest invocations of functions of a site have run.
--
-- KEYS[1] what the names of the index's sets begin with
-- KEYS[2] what the names of records begin with; it is the name of no key itself
-- ARGV[1] site
-- ARGV[2] how many of each function, at most
-- ARGV[3] how old they may be, ms
-- ARGV[4…] functions
--
-- Result: for each function a list of three numbers for each invocation that is
-- succeeded or dead, newest first: time of creation, 1 if it is dead, else 0, and
-- how long its last attempt took, ms, or -1 if it had none.
--
-- Atomic. What has expired meanwhile is left out. Records share the slot of the
-- index.
local index, records, site, most = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local from = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[3])

-- newest are the newest entries of a set: ID, time of creation …
local function newest(state, fn)
  return redis.call('ZREVRANGEBYSCORE', index .. state .. ':' .. site .. ':' .. fn, '+inf', from, 'WITHSCORES', 'LIMIT', 0, most)
end

-- took is how long the last attempt took. The journal is read only where there
-- were several: it may hold long errors. Those are JSON, in which no quote stands
-- without a backslash, so nothing in them looks like the start of an attempt.
local function took(id, attempt, started, finished)
  if attempt ~= '1' then
    local journal = redis.call('HGET', records .. id, 'attempts') or ''
    started = string.match(journal, '^.*,"start":(%d+)}')
  end
  return started and finished and finished - started or -1
end

local answer = {}
for i = 4, #ARGV do
  local succeeded, dead, s, d, runs = newest('succeeded', ARGV[i]), newest('dead', ARGV[i]), 1, 1, {}
  for _ = 1, most do
    local set, at, failed = succeeded, s, 0
    if not set[at] or dead[d] and tonumber(dead[d + 1]) > tonumber(set[at + 1]) then
      set, at, failed = dead, d, 1
    end
    local id = set[at]
    if not id then
      break
    end
    if failed == 1 then d = d + 2 else s = s + 2 end
    local attempt, started, finished = unpack(redis.call('HMGET', records .. id, 'attempt', 'started', 'finished'))
    if attempt then
      runs[#runs + 1] = tonumber(set[at + 1])
      runs[#runs + 1] = failed
      runs[#runs + 1] = took(id, attempt, started, finished)
    end
  end
  answer[#answer + 1] = runs
end
return answer
