-- Step, check: is this the first call with its idempotency key?
--
-- KEYS[1] ID of the invocation that was made under the key
-- ARGV[1] ID of the caller's
--
-- Result: 1, 0 if the key is this very invocation's, or Duplicate.
--
-- Atomic with the script that it rides in.
local first = redis.call('GET', KEYS[1])
if not first then
  return 1
end
if first == ARGV[1] then
  return 0
end
return -4
