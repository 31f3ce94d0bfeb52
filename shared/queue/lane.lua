-- Head of enqueue.lua, settle.lua, forward.lua, reap.lua and sweep.lua: which task
-- may go to asynq's pending list, and which waits in its lane.
--
-- KEYS[1]  asynq:{queue}:            what asynq's keys of the queue begin with
-- KEYS[2]  nightshift:{queue}:lane:  what the keys of its lanes begin with; that and
--          held             hash, task ID → lane: the slots, one per released task
--          bounds           hash of numbers; 0 is no field:
--            capacity, until  what the fleet runs at once; ms, when nobody knows it any more.
--                             Without until the capacity is unknown, and not 0
--            site_limit       slots that a site may have, 0: no limit
--            released         slots of all lanes
--            slots:<lane>     its slots; slots:<site> too while there is a limit
--            limit:<lane>     concurrency; 0: no bound of its own
--            waits:<lane>     1 while it has waiting tasks
--            waiting          how many lanes have
--          ring             list of lanes to be looked at, the next one left
--          parked           hash of lanes not to be looked at → "" if the lane's own
--                           window is full, or the site that is at its limit, or, of
--                           the suspects, the first one's own lane, which is full
--          blocked:<site>   list of the lanes parked for the site, the next one left
--          waiting:<lane>   list of task IDs, the oldest left
--          suspect          the own lane of the suspect that has a slot
--
-- A lane with a waiting list stands once in the ring or once in parked, and no
-- other lane does. A parked lane is put back into the ring by what it waits for:
-- a slot of its own, or of its site, that is freed. There is such a slot, since
-- no window and no limit is below 1.
--
-- A script reads the bounds that it needs with load, and must end with save.
local queue, lanes = KEYS[1], KEYS[2]
local tasks, pending, delayed = queue .. 't:', queue .. 'pending', queue .. 'scheduled'
local held, bounds = lanes .. 'held', lanes .. 'bounds'
local ring, parked = lanes .. 'ring', lanes .. 'parked'

-- A waiting task stands in asynq's set of delayed tasks, so that asynq's tools
-- show it, at a time that does not come: the year 3000, in seconds.
local never = 32503680000

-- suspects is the lane of tasks that were handed back more than once. Of each,
-- the task's field home has its own lane. No site has this name.
local suspects = '*/suspects'

local known, changed = {}, {}

-- load reads bounds at once that number would read one by one.
local function load(...)
  local values = redis.call('HMGET', bounds, ...)
  for i = 1, #values do known[select(i, ...)] = tonumber(values[i]) or 0 end
end

local function number(field)
  local n = known[field]
  if not n then
    n = tonumber(redis.call('HGET', bounds, field) or 0)
    known[field] = n
  end
  return n
end

local function set(field, n)
  known[field], changed[field] = n, true
end

local function add(field, n) set(field, number(field) + n) end

-- save writes what has changed of the bounds.
local function save()
  local write, drop = {'HSET', bounds}, {'HDEL', bounds}
  for field in pairs(changed) do
    local n = known[field]
    if n == 0 then
      drop[#drop + 1] = field
    else
      write[#write + 1] = field
      write[#write + 1] = n
    end
  end
  if #write > 2 then redis.call(unpack(write)) end
  if #drop > 2 then redis.call(unpack(drop)) end
end

-- now is the time in ms.
local function now() return tonumber(millis()) end
-- since is the time in asynq's words, ns.
local function since() return clock()[1] .. string.format('%06d', clock()[2]) .. '000' end
-- due is the score of a task that is to run at a time in ms: never earlier.
local function due(at) return math.ceil(at / 1000) end

local function site_of(lane) return string.match(lane, '^(.*)/') end

-- full says whether all lanes together have what the fleet can run.
local function full() return number('until') > 0 and number('released') >= number('capacity') end

-- obstacle says what keeps the lane from one more slot, for the task: '' its own
-- window, or what parked says else; nil if nothing does but the fleet.
local function obstacle(lane, id)
  local slots = number('slots:' .. lane)
  if lane == suspects then
    if slots > 0 then return '' end
    local home = id and redis.call('HGET', tasks .. id, 'home')
    local window = home and number('limit:' .. home) or 0
    return window > 0 and number('slots:' .. home) >= window and home or nil
  end
  if number('site_limit') > 0 then
    local site = site_of(lane)
    if number('slots:' .. site) >= number('site_limit') then return site end
  end
  local window = number('limit:' .. lane)
  if window == 0 and number('until') > 0 then
    local capacity = number('capacity')
    window = math.max(1, capacity - math.max(1, math.floor(capacity / 8)))
  end
  if window > 0 and slots >= window then return '' end
end

-- back puts a parked lane into the ring.
local function back(lane)
  redis.call('HDEL', parked, lane)
  redis.call('RPUSH', ring, lane)
end

-- park takes note of what a lane with waiting tasks waits for.
local function park(lane, why)
  redis.call('HSET', parked, lane, why)
  if why ~= '' and lane ~= suspects then redis.call('RPUSH', lanes .. 'blocked:' .. why, lane) end
end

-- unblock puts the next lane back that waits for the site, if the site has room.
local function unblock(site)
  local most = number('site_limit')
  if most == 0 or number('slots:' .. site) >= most then return end
  local lane = redis.call('LPOP', lanes .. 'blocked:' .. site)
  if lane then back(lane) end
end

-- unpark puts the lane back if its own window kept it out. The suspects come
-- first that wait for the lane, so that it cannot take each slot before them.
local function unpark(lane)
  local why = redis.call('HMGET', parked, lane, suspects)
  if why[1] == '' then back(lane) end
  if why[2] == lane then
    redis.call('HDEL', parked, suspects)
    redis.call('LPUSH', ring, suspects)
  end
end

-- reopen has all parked lanes looked at: each one's window may be another now.
local function reopen()
  for _, lane in ipairs(redis.call('HKEYS', parked)) do
    redis.call('DEL', lanes .. 'blocked:' .. site_of(lane))
    redis.call('RPUSH', ring, lane)
  end
  redis.call('DEL', parked)
end

-- forget forgets a capacity that nobody has confirmed for too long.
local function forget()
  if number('until') == 0 or number('until') > now() then return end
  set('until', 0)
  set('capacity', 0)
  reopen()
end

-- count adds to the slots of the lane.
local function count(lane, n)
  add('released', n)
  add('slots:' .. lane, n)
  if lane ~= suspects and number('site_limit') > 0 then add('slots:' .. site_of(lane), n) end
end

-- free takes the task's slot back, reports whether it had one, and puts back who
-- waited for it: first another lane of the site, else this one would take each.
local function free(id)
  local lane = redis.call('HGET', held, id)
  if not lane then return false end
  redis.call('HDEL', held, id)
  count(lane, -1)
  local home = lane == suspects and redis.call('GET', lanes .. 'suspect')
  if home then
    redis.call('DEL', lanes .. 'suspect')
    add('slots:' .. home, -1)
  end
  if number('waiting') == 0 then return true end
  unblock(site_of(lane))
  unpark(lane)
  if home then unpark(home) end
  return true
end

-- mark writes the task's state, and since when it is pending, 0 if it is not; of
-- a new one its message and lane too.
local function mark(id, state, lane, message)
  local at = state == 'pending' and since() or 0
  if message then
    redis.call('HSET', tasks .. id, 'msg', message, 'lane', lane, 'state', state, 'pending_since', at)
  else
    redis.call('HSET', tasks .. id, 'state', state, 'pending_since', at)
  end
end

-- release gives the task a slot and puts it at the tail of the pending list.
local function release(id, lane, message)
  mark(id, 'pending', lane, message)
  redis.call('LPUSH', pending, id)
  if redis.call('HSETNX', held, id, lane) == 0 then -- of a task of this ID that was deleted
    free(id)
    redis.call('HSET', held, id, lane)
  end
  count(lane, 1)
  if lane == suspects then
    local home = redis.call('HGET', tasks .. id, 'home')
    redis.call('SET', lanes .. 'suspect', home)
    add('slots:' .. home, 1)
  end
end

-- admit releases the task, or lets it wait behind those of its lane. A message
-- says that the task is new.
local function admit(id, lane, message)
  local first, why = number('waits:' .. lane) == 0, nil
  if first then
    why = obstacle(lane, id)
    if not why and not full() then return release(id, lane, message) end
  end
  mark(id, 'scheduled', lane, message)
  redis.call('ZADD', delayed, never, id)
  redis.call('RPUSH', lanes .. 'waiting:' .. lane, id)
  if not first then return end
  set('waits:' .. lane, 1)
  add('waiting', 1)
  if why then park(lane, why) else redis.call('RPUSH', ring, lane) end
end

-- first is the oldest task that still waits in the lane. Others have been
-- withdrawn, or were moved by asynq's own tools, and left their ID behind.
local function first(lane)
  local waiting = lanes .. 'waiting:' .. lane
  for _ = 1, 100 do
    local id = redis.call('LINDEX', waiting, 0)
    if not id then return nil end
    if tonumber(redis.call('ZSCORE', delayed, id) or 0) == never and redis.call('HGET', tasks .. id, 'lane') == lane then
      return id
    end
    redis.call('LPOP', waiting)
  end
end

-- promote releases waiting tasks while there is room, one lane after the other,
-- at most so many, and returns how many. Lanes that must not are parked.
local function promote(most)
  if number('waiting') == 0 then return 0 end
  local released = 0
  for _ = 1, most + 100 do
    if released == most or full() then break end
    local lane = redis.call('LPOP', ring)
    if not lane then break end
    local waiting, id = lanes .. 'waiting:' .. lane, nil
    if lane == suspects then id = first(lane) end
    local why = obstacle(lane, id)
    if why then
      park(lane, why)
    else
      id = id or first(lane)
      if id then
        redis.call('LPOP', waiting)
        redis.call('ZREM', delayed, id)
        release(id, lane)
        released = released + 1
      end
      if redis.call('EXISTS', waiting) == 1 then
        redis.call('RPUSH', ring, lane)
      else
        set('waits:' .. lane, 0)
        add('waiting', -1)
      end
    end
    -- Of the site's lanes one is unblocked at a time; it may not have used the room.
    unblock(site_of(lane))
  end
  return released
end
