-- Step, check, after record.lua: may this attempt end, and how?
--
-- KEYS see record.lua
-- ARGV[1] attempt number
-- ARGV[2] outcome
-- ARGV[3] state to move to
-- ARGV[8] retention in the state to move to, ms; 0 if it is not terminal
-- ARGV[9] retention of a cancelled record, ms
--
-- Result: 1; 0 if an earlier call with the same outcome has done it, whose reply
-- was lost; or Gone, Fenced, Forbidden. Only the newest attempt, while it is open,
-- can end. What was read and decided it leaves to end_apply.lua.
--
-- Atomic with the script that it rides in.
local r = look(KEYS[1])
if not r.state then return -7 end
if r.attempt ~= ARGV[1] then return -10 end
if r.state ~= 'running' then
  if r.outcome == ARGV[2] then return 0 end
  return -10
end
local to, retention = ARGV[3], ARGV[8]
-- Somebody was promised an end: where another attempt would follow, none does.
if r.cancel and may(to, 'running') then
  to, retention = 'cancelled', ARGV[9]
end
if not may(r.state, to) then return -11 end
r.to, r.retention = to, retention
return 1
