-- Makes a deploy ready, and with that visible; publishes it if it is to be.
--
-- KEYS[1…4] see pointer.lua
-- KEYS[5] deploy
-- KEYS[6] newest deploys of branches, by "<site>/<label>"
-- ARGV[1] site
-- ARGV[2] deploy ID
-- ARGV[3] state to move from
-- ARGV[4] state to move to
-- ARGV[5] what the keys of deploys begin with
-- ARGV[6] channel on which the catalog is watched
-- ARGV[7] deploy as JSON
-- ARGV[8] field of its branch in KEYS[6]; empty: none
-- ARGV[9] "1" if it is to be published
-- ARGV[10] its summary as JSON
--
-- Result: "ready" or "published"; "locked" if it is ready and the lock of the
-- site keeps it from being published; "older" if a deploy that was made later
-- does; "missing"; or "state:" and the state of a deploy that cannot become ready.
--
-- Atomic: data, summary, state, branch and pointer move together. It happens once: a
-- repetition is told what the first call did, and moves nothing, whatever was
-- published since.
local state, created, sealed = unpack(redis.call('HMGET', KEYS[5], 'state', 'created', 'sealed'))
if not state then
  return 'missing'
end
if state == ARGV[4] and sealed then
  return sealed
end
if state ~= ARGV[3] then
  return 'state:' .. state
end
created = tonumber(created)

-- newer reports whether a deploy that is there was made later than this one.
local function newer(id)
  if not id then
    return false
  end
  local other = redis.call('HGET', ARGV[5] .. id, 'created')
  return other and tonumber(other) > created
end

redis.call('HSET', KEYS[5], 'state', ARGV[4], 'data', ARGV[7], 'summary', ARGV[10])
local outcome = 'ready'
if ARGV[9] == '1' then
  if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
    outcome = 'locked'
  elseif newer(redis.call('HGET', KEYS[1], ARGV[1])) then
    outcome = 'older'
  else
    outcome = 'published'
  end
end
redis.call('HSET', KEYS[5], 'sealed', outcome)
if ARGV[8] ~= '' and not newer(redis.call('HGET', KEYS[6], ARGV[8])) then
  redis.call('HSET', KEYS[6], ARGV[8], ARGV[2])
  if outcome ~= 'published' then
    tell(ARGV[6])
  end
end
if outcome == 'published' then
  point(ARGV[1], ARGV[2], ARGV[5], ARGV[6])
end
return outcome
