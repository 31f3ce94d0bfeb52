-- Makes a site.
--
-- KEYS[1] sites: their names, with the time of creation and the token of the call
-- ARGV[1] site
-- ARGV[2] token of this call, so that a repetition by the driver is known
--
-- Result: "created", or "exists".
--
-- Atomic.
local t = redis.call('TIME')
local created = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('HSETNX', KEYS[1], ARGV[1], created .. ' ' .. ARGV[2]) == 1 then
  return 'created'
end
local token = string.match(redis.call('HGET', KEYS[1], ARGV[1]), ' (.*)$')
if token == ARGV[2] then
  return 'created'
end
return 'exists'
