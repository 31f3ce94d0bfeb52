-- Step, check: is there no record of this ID yet?
--
-- KEYS[1] record
--
-- Result: 1 if there is none, 0 if there is one.
--
-- Atomic with the script that it rides in.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
return 1
