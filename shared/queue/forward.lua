-- Body of the script that moves tasks whose time has come, in place of asynq's:
-- of both sets at once, and through the lanes. The heads are lane.lua and due.lua.
--
-- Result   {how many tasks it moved, at most 200; in how many ms the next
--          one is due, at most a minute}
-- Atomic.
forget()
local delays, delay = arrive('scheduled')
local retries, pause = arrive('retry')
-- The leader's sweep does this too. Workers must not stand still without one.
promote(100)
save()
return {delays + retries, math.min(delay, pause, 60000)}
