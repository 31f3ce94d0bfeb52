-- Changes variables of a site, each only if it is still as the caller read it.
--
-- KEYS[1] hash of the site's variables
-- ARGV[1] most variables that a site may have
-- ARGV[2…] for each: name, value that is expected, value to store; an empty one
--          means that there is none
--
-- Result: "changed", "other" with the name of a variable that is not as
-- expected, or "full".
--
-- Atomic: all of the variables change, or none. Idempotent: what has the value
-- to store already is as expected, and no two values that are sealed are the same.
local grown = 0
for i = 2, #ARGV, 3 do
  local now = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if now ~= ARGV[i + 1] and now ~= ARGV[i + 2] then
    return {'other', ARGV[i]}
  end
  if now == '' and ARGV[i + 2] ~= '' then
    grown = grown + 1
  end
end
if grown > 0 and redis.call('HLEN', KEYS[1]) + grown > tonumber(ARGV[1]) then
  return {'full'}
end
for i = 2, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
return {'changed'}
