-- Removes a deploy that is out of use, or that was never completed.
--
-- KEYS[1] deploy
-- KEYS[2] the site's list of deploys
-- KEYS[3] names of blobs that the deploy waits for
-- ARGV[1] deploy ID
-- ARGV[2] state of a deploy that is out of use
-- ARGV[3] how long it must have been so, ms
-- ARGV[4] states of a deploy that was never completed, separated by spaces
-- ARGV[5] how long it must have been there without an upload, ms
--
-- Result: "removed", also if it was not there, or "kept".
--
-- Atomic: hash, entry and list go together. Each upload renews the list of what
-- a deploy waits for, so one that has it is being uploaded.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local state, created, expired = unpack(redis.call('HMGET', KEYS[1], 'state', 'created', 'expired'))
if state == ARGV[2] then
  if now - tonumber(expired or 0) <= tonumber(ARGV[3]) then
    return 'kept'
  end
elseif state then
  local incomplete = string.find(' ' .. ARGV[4] .. ' ', ' ' .. state .. ' ', 1, true)
  if not incomplete or now - tonumber(created or 0) <= tonumber(ARGV[5]) or redis.call('EXISTS', KEYS[3]) == 1 then
    return 'kept'
  end
end
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 'removed'
