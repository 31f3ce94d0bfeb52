-- Step, apply, after record.lua: closes the open attempt of an invocation and moves
-- the invocation on, as end_check.lua has decided.
--
-- KEYS see record.lua
-- ARGV[1…3], ARGV[8…9] see end_check.lua
-- ARGV[4] failure as JSON, or empty
-- ARGV[5] result as JSON, or empty; kept with state succeeded only
-- ARGV[6] delay of the next attempt, ms; used with state failed only
-- ARGV[7] 1 if the attempt counts against the retry limit, else 0
--
-- Atomic with the script that it rides in: the attempt is closed and the state
-- moved together, or neither.
local r = look(KEYS[1])
local to, n = r.to, 4
local write = {
  'outcome', ARGV[2], 'attempts', (r.attempts or '') .. close(ARGV[1], ARGV[2], ARGV[4]),
  nil, nil, nil, nil, nil, nil, nil, nil,
}
local function also(field, value)
  write[n + 1], write[n + 2] = field, value
  n = n + 2
end
if ARGV[7] == '1' then also('failures', (r.failures or 0) + 1) end
if to == 'failed' then also('next', later(ARGV[6])) end
if to == 'succeeded' and ARGV[5] ~= '' then also('result', ARGV[5]) end
if batches[KEYS[1]] then -- of lines that ride along
  also('batch', batches[KEYS[1]].batch)
  also('log', batches[KEYS[1]].log)
  batches[KEYS[1]] = nil
end
enter(KEYS, r, to, r.retention, unpack(write, 1, n))
