-- Claims callbacks that are due, so that nobody else makes them for a while.
--
-- KEYS[1] outbox
-- KEYS[2] counts
-- KEYS[3] answer of this call, kept for a repetition of it by the driver
-- ARGV[1] how many at most
-- ARGV[2] lease, ms
-- ARGV[3] how long a record is kept at least from here on, ms
-- ARGV[4] prefix of records
-- ARGV[5] prefix of logs
-- ARGV[6] prefix of sets of dead callbacks, by site
-- ARGV[7] how long callbacks of a site without room are put off, ms
-- ARGV[8], ARGV[9], … sites, each with how many of it there is room for
--
-- The keys of records, logs and dead callbacks are made here, because their IDs
-- are found here; they are in the slot of the outbox.
--
-- Result: {now, how many were put off, id, request, try, end, site, …}: the number of the request, its
-- number since the last retry by hand, and the time of the invocation's end.
--
-- Atomic: what is claimed is not due any more, and its request is counted. What
-- has no record any more is taken out and counted as lost; what was retried
-- since is taken out, and comes back with its next end. That of a site without
-- room is put off, so that the next call finds what stands behind it.
local outbox, counts = KEYS[1], KEYS[2]
local before = redis.call('GET', KEYS[3])
if before then
  local reply = {}
  for word in string.gmatch(before, '%S+') do
    table.insert(reply, word)
  end
  return reply
end

local at, most = now(), tonumber(ARGV[1])
local room, over = {}, 0
for i = 8, #ARGV, 2 do
  room[ARGV[i]] = tonumber(ARGV[i + 1])
end
local reply, claimed = {string.format('%.0f', at), '0'}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', outbox, '-inf', at, 'LIMIT', 0, most + 1000)) do
  if claimed == most then
    break
  end
  local record = ARGV[4] .. id
  local state, url, finished, ended, site =
    unpack(redis.call('HMGET', record, 'state', 'callback', 'finished', 'callback_end', 'site'))
  if not state then
    redis.call('ZREM', outbox, id)
    redis.call('HINCRBY', counts, 'lost', 1)
  elseif not url or not finished then
    redis.call('ZREM', outbox, id)
  elseif room[site] and room[site] <= 0 then
    redis.call('ZADD', outbox, at + ARGV[7], id)
    over = over + 1
  else
    if ended ~= finished then
      redis.call('HSET', record, 'callback_end', finished, 'callback_state', 'pending', 'callback_attempts', 0, 'callback_base', 0)
      redis.call('HDEL', record, 'callback_error', 'callback_settled')
      redis.call('ZREM', ARGV[6] .. site, id)
    end
    local request = redis.call('HINCRBY', record, 'callback_attempts', 1)
    local try = request - tonumber(redis.call('HGET', record, 'callback_base') or 0)
    redis.call('ZADD', outbox, at + ARGV[2], id)
    keep(record, ARGV[3])
    keep(ARGV[5] .. id, ARGV[3])
    for _, word in ipairs({id, tostring(request), tostring(try), finished, site}) do
      table.insert(reply, word)
    end
    claimed = claimed + 1
    if room[site] then
      room[site] = room[site] - 1
    end
  end
end
reply[2] = tostring(over)
if claimed > 0 then
  redis.call('SET', KEYS[3], table.concat(reply, ' '), 'PX', ARGV[2])
end
return reply
