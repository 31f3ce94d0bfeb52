-- Appends a batch of lines to an invocation's log and to the live feed.
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
-- Result: "appended", or "fenced" if a newer attempt owns the invocation.
--
-- Atomic: all lines, in both places, or none. Without a record there is nothing
-- to keep a log by, and the lines go to the live feed only.
local number, batch = unpack(redis.call('HMGET', KEYS[1], 'attempt', 'batch'))
if number then
  if number ~= ARGV[1] then
    return 'fenced'
  end
  if batch == ARGV[2] then
    return 'appended'
  end
  for i = 6, #ARGV do
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'line', ARGV[i])
  end
  redis.call('HSET', KEYS[1], 'batch', ARGV[2])
  -- A line that comes after the end must not make a log that outlives its record.
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then
    redis.call('PEXPIRE', KEYS[2], left)
  end
end
redis.call('PUBLISH', ARGV[4], '{"source":' .. ARGV[5] .. ',"lines":[' .. table.concat(ARGV, ',', 6) .. ']}')
return 'appended'
