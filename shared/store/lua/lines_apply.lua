-- Step, apply, after record.lua: appends a batch of lines to an invocation's log and
-- to the live feed.
--
-- KEYS[1] record
-- KEYS[2] log
-- ARGV[1] attempt number that wrote the lines
-- ARGV[2] identity of the batch, so that a repetition is known
-- ARGV[3] how many lines the log keeps, about
-- ARGV[4] 1 if the batch is short enough to be kept in the record, else 0
-- ARGV[5] channel of the live feed
-- ARGV[6] source of the lines, as JSON
-- ARGV[7…] lines, each as JSON
--
-- Most invocations write a few lines and end: a stream for those costs more than the
-- rest of their record. So a first batch that is short goes into the record's field
-- log, one line of text for each. With the next batch it moves to the stream, whose
-- first entries it becomes; their places, 0-1, 0-2 …, are those that a reader of the
-- field was told. So a log is in one place or the other.
--
-- Atomic with the script that it rides in: all lines, in both places, or none.
-- Without a record there is nothing to keep a log by, and the lines go to the live
-- feed only.
local r = look(KEYS[1])
if r.attempt then
  if r.batch == ARGV[2] then return end
  local before, log = batches[KEYS[1]], ''
  if not r.batch and ARGV[4] == '1' then
    r.short, log = true, table.concat(ARGV, '\n', 7)
  else
    local n, first = 0, before and before.log or r.batch and redis.call('HGET', KEYS[1], 'log') or ''
    for line in string.gmatch(first, '[^\n]+') do
      n = n + 1
      redis.call('XADD', KEYS[2], '0-' .. n, 'line', line)
    end
    for i = 7, #ARGV - 1 do redis.call('XADD', KEYS[2], '*', 'line', ARGV[i]) end
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'line', ARGV[#ARGV])
    r.short = false
  end
  r.batch, batches[KEYS[1]] = ARGV[2], {batch = ARGV[2], log = log}
  -- A line that comes after the end must not make a log that outlives its record.
  if not r.short and ended[r.state] then
    local left = redis.call('PTTL', KEYS[1])
    if left > 0 then redis.call('PEXPIRE', KEYS[2], left) end
  end
end
redis.call('PUBLISH', ARGV[5], '{"source":' .. ARGV[6] .. ',"lines":[' .. table.concat(ARGV, ',', 7) .. ']}')
