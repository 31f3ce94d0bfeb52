-- Head of enqueue.lua, settle.lua, forward.lua and sweep.lua: which task may go
-- to asynq's pending list, and which waits in its lane.
--
-- KEYS[1]  asynq:{queue}:            what asynq's keys of the queue begin with
-- KEYS[2]  nightshift:{queue}:lane:  what the keys of its lanes begin with; that and
--          held             hash, task ID → lane: the slots, one per released task
--          counts           hash, lane → its slots, site → its slots; none is no field
--          limits           hash, lane → concurrency; no bound of its own is no field
--          fleet            hash: capacity, until (ms, when that is no longer known), site_limit
--          ring             list of lanes to be looked at, the next one left
--          parked           hash of lanes not to be looked at → "" if the lane's own
--                           window is full, or the site that is at its limit
--          blocked:<site>   list of the lanes parked for the site, the next one left
--          waiting:<lane>   list of task IDs, the oldest left
--
-- A lane with a waiting list stands once in the ring or once in parked, and no
-- other lane does. A parked lane is put back into the ring by what it waits for:
-- a slot of its own, or of its site, that is freed. There is such a slot, since
-- no window and no limit is below 1.
local queue, lanes = KEYS[1], KEYS[2]
local tasks, pending, delayed = queue .. 't:', queue .. 'pending', queue .. 'scheduled'
local held, counts, limits = lanes .. 'held', lanes .. 'counts', lanes .. 'limits'
local ring, parked = lanes .. 'ring', lanes .. 'parked'

-- A waiting task stands in asynq's set of delayed tasks, so that asynq's tools
-- show it, at a time that does not come: the year 3000, in seconds.
local never = 32503680000

-- What look_around finds out. capacity is nil while nobody knows it.
local now, since, capacity, site_limit

-- look_around must run before anything is released.
local function look_around()
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  since = time[1] .. string.format('%06d', time[2]) .. '000'
  local fleet = redis.call('HMGET', lanes .. 'fleet', 'capacity', 'until', 'site_limit')
  capacity = tonumber(fleet[2] or 0) > now and tonumber(fleet[1]) or nil
  site_limit = tonumber(fleet[3] or 0)
end

local function site_of(lane) return string.match(lane, '^(.*)/') end

-- due is the score of a task that is to run at a time in ms: never earlier.
local function due(at) return math.ceil(at / 1000) end

-- limit is the lane's own concurrency, or 0.
local known = {}
local function limit(lane)
  if not known[lane] then known[lane] = tonumber(redis.call('HGET', limits, lane) or 0) end
  return known[lane]
end

-- full says whether all lanes together have what the fleet can run.
local function full() return capacity and redis.call('HLEN', held) >= capacity end

-- obstacle says what keeps the lane from one more slot: '' its own window, or
-- the site's name; nil if nothing does but the fleet.
local function obstacle(lane)
  local site = site_of(lane)
  local n = redis.call('HMGET', counts, lane, site)
  if site_limit > 0 and tonumber(n[2] or 0) >= site_limit then return site end
  local window = limit(lane)
  if window == 0 and capacity then
    window = math.max(1, capacity - math.max(1, math.floor(capacity / 8)))
  end
  if window > 0 and tonumber(n[1] or 0) >= window then return '' end
end

-- release gives the task a slot and puts it at the tail of the pending list.
local function release(id, lane)
  redis.call('HSET', tasks .. id, 'state', 'pending', 'pending_since', since)
  redis.call('LPUSH', pending, id)
  if redis.call('HSET', held, id, lane) == 1 then
    redis.call('HINCRBY', counts, lane, 1)
    redis.call('HINCRBY', counts, site_of(lane), 1)
  end
end

-- park takes note of what a lane with waiting tasks waits for.
local function park(lane, why)
  redis.call('HSET', parked, lane, why)
  if why ~= '' then redis.call('RPUSH', lanes .. 'blocked:' .. why, lane) end
end

-- admit releases the task, or lets it wait behind those of its lane.
local function admit(id, lane)
  local waiting = lanes .. 'waiting:' .. lane
  local first, why = redis.call('LLEN', waiting) == 0, nil
  if first then
    why = obstacle(lane)
    if not why and not full() then return release(id, lane) end
  end
  redis.call('HSET', tasks .. id, 'state', 'scheduled')
  redis.call('ZADD', delayed, never, id)
  redis.call('RPUSH', waiting, id)
  if first and why then
    park(lane, why)
  elseif first then
    redis.call('RPUSH', ring, lane)
  end
end

-- unblock puts the next lane back that waits for the site, if the site has room.
local function unblock(site)
  if site_limit == 0 or tonumber(redis.call('HGET', counts, site) or 0) >= site_limit then return end
  local lane = redis.call('LPOP', lanes .. 'blocked:' .. site)
  if lane then
    redis.call('HDEL', parked, lane)
    redis.call('RPUSH', ring, lane)
  end
end

-- unpark puts the lane back if its own window kept it out.
local function unpark(lane)
  if redis.call('HGET', parked, lane) == '' then
    redis.call('HDEL', parked, lane)
    redis.call('RPUSH', ring, lane)
  end
end

-- take removes the oldest task that still waits from the lane. Others have been
-- withdrawn, or were moved by asynq's own tools, and left their ID behind.
local function take(lane)
  local waiting = lanes .. 'waiting:' .. lane
  for _ = 1, 100 do
    local id = redis.call('LPOP', waiting)
    if not id then return nil end
    if tonumber(redis.call('ZSCORE', delayed, id) or 0) == never then
      redis.call('ZREM', delayed, id)
      return id
    end
  end
end

-- promote releases waiting tasks while there is room, one lane after the other,
-- at most so many, and returns how many. Lanes that must not are parked.
local function promote(most)
  if redis.call('EXISTS', ring) == 0 then return 0 end
  if not now then look_around() end
  local released = 0
  for _ = 1, most + 100 do
    if released == most or full() then break end
    local lane = redis.call('LPOP', ring)
    if not lane then break end
    local why = obstacle(lane)
    if why then
      park(lane, why)
    else
      local id = take(lane)
      if id then
        release(id, lane)
        released = released + 1
      end
      if redis.call('EXISTS', lanes .. 'waiting:' .. lane) == 1 then redis.call('RPUSH', ring, lane) end
    end
    -- Of the site's lanes one is unblocked at a time; it may not have used the room.
    unblock(site_of(lane))
  end
  return released
end

-- free takes the task's slot back, reports whether it had one, and puts back who
-- waited for it: first another lane of the site, else this one would take each.
local function free(id)
  local lane = redis.call('HGET', held, id)
  if not lane then return false end
  redis.call('HDEL', held, id)
  local site = site_of(lane)
  if redis.call('HINCRBY', counts, lane, -1) <= 0 then redis.call('HDEL', counts, lane) end
  if redis.call('HINCRBY', counts, site, -1) <= 0 then redis.call('HDEL', counts, site) end
  if redis.call('EXISTS', parked) == 0 then return true end
  if not now then look_around() end
  unblock(site)
  unpark(lane)
  return true
end
