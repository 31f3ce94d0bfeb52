-- Points a site at the deploy that was published before.
--
-- KEYS[1…4] see pointer.lua
-- KEYS[5] the site's last rollback: its token and what it returned
-- ARGV[1] site
-- ARGV[2] token of this call, so that a repetition by the driver is known
-- ARGV[3] state that a deploy must be in
-- ARGV[4] what the keys of deploys begin with
-- ARGV[5] channel on which the catalog is watched
--
-- Result: {"published", deploy ID}, {"locked"}, or {"none"} if there is no
-- earlier one.
--
-- Atomic. The history is a stack: what is rolled back from is taken off it, so
-- another rollback goes further back. Deploys that are gone are passed over.
local token, result = unpack(redis.call('HMGET', KEYS[5], 'token', 'result'))
if token == ARGV[2] then
  return {'published', result}
end
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
  return {'locked'}
end
local current = redis.call('HGET', KEYS[1], ARGV[1])
local back = -1
while true do
  local id = redis.call('LINDEX', KEYS[4], back)
  if not id then
    return {'none'}
  end
  if id ~= current and redis.call('HGET', ARGV[4] .. id, 'state') == ARGV[3] then
    break
  end
  back = back - 1
end
local id = redis.call('LINDEX', KEYS[4], back)
redis.call('LTRIM', KEYS[4], 0, back)
point(ARGV[1], id, ARGV[4], ARGV[5])
redis.call('HSET', KEYS[5], 'token', ARGV[2], 'result', id)
redis.call('PEXPIRE', KEYS[5], 3600000)
return {'published', id}
