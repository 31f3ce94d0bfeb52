-- Step, apply, after record.lua: appends a batch of lines to an invocation's log and
-- to the live feed.
--
-- KEYS[1] record
-- KEYS[2] log
-- ARGV[1] attempt number that wrote the lines
-- ARGV[2] identity of the batch, so that a repetition is known
-- ARGV[3] how many lines the log keeps, about
-- ARGV[4] channel of the live feed
-- ARGV[5] source of the lines, as JSON
-- ARGV[6…] lines, each as JSON
--
-- Atomic with the script that it rides in: all lines, in both places, or none.
-- Without a record there is nothing to keep a log by, and the lines go to the live
-- feed only.
local r = look(KEYS[1])
if r.attempt then
  if r.batch == ARGV[2] then return end
  for i = 6, #ARGV - 1 do redis.call('XADD', KEYS[2], '*', 'line', ARGV[i]) end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'line', ARGV[#ARGV])
  r.batch, batches[KEYS[1]] = ARGV[2], ARGV[2]
  -- A line that comes after the end must not make a log that outlives its record.
  if ended[r.state] then
    local left = redis.call('PTTL', KEYS[1])
    if left > 0 then redis.call('PEXPIRE', KEYS[2], left) end
  end
end
redis.call('PUBLISH', ARGV[4], '{"source":' .. ARGV[5] .. ',"lines":[' .. table.concat(ARGV, ',', 6) .. ']}')
