-- Reads the keys that calls of workers are signed with, makes one if the newest
-- is too old, and removes those that are out of date.
--
-- KEYS[1] keys by ID
-- ARGV[1] age from which another key is made, ms
-- ARGV[2] age from which a key is removed, ms
-- ARGV[3] ID of the key that may be made
-- ARGV[4] its secret
--
-- Result: the time of Redis in ms, then for each key its ID, when it was made in
-- ms, and its secret, in no order.
--
-- Atomic: of all who find the newest one too old, one makes the next. A
-- repetition by the driver finds a key that is young. A clock that was set back
-- makes keys of the future, which are as good as young ones until it has caught
-- up; one that is further ahead than a removal takes is removed.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local rotate, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
local keys, young = {}, false
for i = 1, #all, 2 do
  local made, secret = string.match(all[i + 1], '^(%d+) (.+)$')
  local age = made and now - made
  if age and age < keep and age > -keep then
    keys[#keys + 1] = all[i]
    keys[#keys + 1] = made
    keys[#keys + 1] = secret
    young = young or age < rotate
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
if not young then
  local made = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], ARGV[3], made .. ' ' .. ARGV[4])
  keys[#keys + 1] = ARGV[3]
  keys[#keys + 1] = made
  keys[#keys + 1] = ARGV[4]
end
redis.call('PEXPIRE', KEYS[1], keep)
return {string.format('%.0f', now), unpack(keys)}
