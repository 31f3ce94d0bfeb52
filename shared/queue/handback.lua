-- Puts an active task back at the head of its queue, uncounted.
--
-- KEYS[1]  asynq:{queue}:active
-- KEYS[2]  asynq:{queue}:lease
-- KEYS[3]  asynq:{queue}:pending
-- KEYS[4]  asynq:{queue}:t:<id>
-- ARGV[1]  task ID
-- ARGV[2]  token: the same for every try of one hand-back, and for no other
-- Result   OK, or the error NOT FOUND: the task is not active, it was somebody else's to settle.
-- Atomic. The token makes a repeated try harmless: without it a try whose reply
-- was lost would, when repeated, take the task from the worker that has it now.
if redis.call("HGET", KEYS[4], "handed_back") == ARGV[2] then
  return redis.status_reply("OK")
end
if redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 then
  return redis.error_reply("NOT FOUND")
end
redis.call("ZREM", KEYS[2], ARGV[1])
local now = redis.call("TIME")
redis.call("HSET", KEYS[4], "state", "pending", "handed_back", ARGV[2],
  "pending_since", now[1] .. string.format("%06d", now[2]) .. "000")
redis.call("RPUSH", KEYS[3], ARGV[1])
return redis.status_reply("OK")
