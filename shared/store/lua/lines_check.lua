-- Step, check, after record.lua: is the attempt that wrote the lines the newest one?
--
-- KEYS[1] record
-- ARGV[1] attempt number
--
-- Result: 1, or Fenced. Without a record there is nothing that fences.
--
-- Atomic with the script that it rides in.
local r = look(KEYS[1])
if r.attempt and r.attempt ~= ARGV[1] then return -10 end
return 1
