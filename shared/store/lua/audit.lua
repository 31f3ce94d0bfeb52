-- Appends an entry to one of the two streams of the audit log, and removes what
-- is too old or too much there.
--
-- KEYS[1] the stream
-- KEYS[2] the other one
-- ARGV[1] token of this call, so that a repetition by the driver is known
-- ARGV[2] most entries of the stream
-- ARGV[3] how long entries are kept, ms
-- ARGV[4] entry as JSON
--
-- Result: ID of the entry. No entry of either stream has the same, and later
-- ones have greater IDs, so that the two can be read as one.
--
-- Atomic. A repetition comes within a moment, so it is looked for among the
-- newest entries.
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 64)) do
  if entry[2][2] == ARGV[1] then
    return entry[1]
  end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ms, seq = now, 0
for i = 1, 2 do
  local last = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', 1)[1]
  if last then
    local m, s = string.match(last[1], '^(%d+)-(%d+)$')
    m, s = tonumber(m), tonumber(s)
    if m > ms then
      ms, seq = m, s + 1
    elseif m == ms then
      seq = math.max(seq, s + 1)
    end
  end
end
local id = string.format('%.0f-%.0f', ms, seq)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], id, 'token', ARGV[1], 'entry', ARGV[4])
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', now - ARGV[3]))
return id
