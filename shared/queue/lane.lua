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

-- need reads at once what number would read one by one of these bounds of lanes.
local function need(list, ...)
  local missing = {}
  for _, lane in ipairs(list) do
    for i = 1, select('#', ...) do
      local field = select(i, ...) .. lane
      if not known[field] then missing[#missing + 1] = field end
    end
  end
  if #missing > 0 then load(unpack(missing)) end
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

-- spare is how many slots more all lanes together may have.
local function spare() return number('until') > 0 and number('capacity') - number('released') or math.huge end

-- obstacle says what keeps the lane from one more slot, for the task: '' its own
-- window, or what parked says else; nil if nothing does but the fleet, and then for
-- how many slots that is so.
local function obstacle(lane, id)
  local slots = number('slots:' .. lane)
  if lane == suspects then
    if slots > 0 then return '' end
    local home = id and redis.call('HGET', tasks .. id, 'home')
    local window = home and number('limit:' .. home) or 0
    return window > 0 and number('slots:' .. home) >= window and home or nil, 1
  end
  local limited = number('site_limit') > 0
  if limited then
    local site = site_of(lane)
    if number('slots:' .. site) >= number('site_limit') then return site end
  end
  local window = number('limit:' .. lane)
  if window == 0 and number('until') > 0 then
    local capacity = number('capacity')
    window = math.max(1, capacity - math.max(1, math.floor(capacity / 8)))
  end
  if window > 0 and slots >= window then return '' end
  return nil, limited and 1 or window > 0 and window - slots or math.huge
end

-- behind is, while promote has taken lanes out of the ring, what comes behind the
-- others; else nil.
local behind

-- queue_up puts a lane to the end of the ring.
local function queue_up(lane)
  if behind then
    behind[#behind + 1] = lane
  else
    redis.call('RPUSH', ring, lane)
  end
end

-- back puts a parked lane into the ring.
local function back(lane)
  redis.call('HDEL', parked, lane)
  queue_up(lane)
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

-- unpark puts lanes back if their own window kept them out. The suspects come
-- first that wait for one of them, so that it cannot take each slot before them.
local function unpark(...)
  local why, first = redis.call('HMGET', parked, suspects, ...), false
  for i = 1, select('#', ...) do
    local lane = select(i, ...)
    if why[i + 1] == '' then back(lane) end
    first = first or why[1] == lane
  end
  if first then
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

-- free takes the slots of tasks back, and puts back who waited for them: first
-- other lanes of the site, else these would take each. It returns how many had one.
local function free(ids)
  local lanes_of = redis.call('HMGET', held, unpack(ids))
  local drop, done, each = {'HDEL', held}, {}, {}
  for i, id in ipairs(ids) do
    local lane = lanes_of[i]
    if lane and not done[id] then
      done[id], drop[#drop + 1], done[#done + 1] = true, id, lane
      if not each[lane] then each[lane], each[#each + 1] = true, lane end
    end
  end
  if #done == 0 then return 0 end
  redis.call(unpack(drop))
  need(each, 'slots:')
  for _, lane in ipairs(done) do
    count(lane, -1)
    local home = lane == suspects and redis.call('GET', lanes .. 'suspect')
    if home then
      redis.call('DEL', lanes .. 'suspect')
      add('slots:' .. home, -1)
      each[#each + 1] = not each[home] and home or nil
    end
  end
  if number('waiting') == 0 then return #done end
  for _, lane in ipairs(done) do unblock(site_of(lane)) end
  unpark(unpack(each))
  return #done
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

-- hold gives tasks that are about to be pending their slots.
local function hold(ids, lane_of)
  local old, lost, held_by = redis.call('HMGET', held, unpack(ids)), {}, {'HSET', held}
  for i, id in ipairs(ids) do
    if old[i] then lost[#lost + 1] = id end -- of a task of this ID that was deleted
    held_by[#held_by + 1] = id
    held_by[#held_by + 1] = lane_of[id]
  end
  if #lost > 0 then free(lost) end
  redis.call(unpack(held_by))
end

-- release gives the task a slot and puts it at the tail of the pending list.
local function release(id, lane, message)
  mark(id, 'pending', lane, message)
  redis.call('LPUSH', pending, id)
  hold({id}, {[id] = lane})
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
    if not why and spare() > 0 then return release(id, lane, message) end
  end
  mark(id, 'scheduled', lane, message)
  redis.call('ZADD', delayed, never, id)
  redis.call('RPUSH', lanes .. 'waiting:' .. lane, id)
  if not first then return end
  set('waits:' .. lane, 1)
  add('waiting', 1)
  if why then park(lane, why) else queue_up(lane) end
end

-- leaving are the tasks that promote has released so far, with their lanes.
local leaving = {}

-- oldest returns tasks that have waited longest in the lane, n at most and one at
-- least if there is one, and whether there are IDs behind them. Those of tasks that
-- were withdrawn, or moved by asynq's own tools, it removes from the list.
local function oldest(lane, n)
  local waiting = lanes .. 'waiting:' .. lane
  for _ = 1, 100 do
    local ids = redis.call('LRANGE', waiting, 0, n)
    local some = math.min(#ids, n)
    if some == 0 then return {}, false end
    local scores = redis.call('ZMSCORE', delayed, unpack(ids, 1, some))
    local function waits(i)
      local id = ids[i]
      local here = not leaving[id] and tonumber(scores[i] or 0) == never and redis.call('HGET', tasks .. id, 'lane') == lane
      if here then leaving[id] = lane end
      return here
    end
    local gone = 0
    while gone < some and not waits(gone + 1) do gone = gone + 1 end
    if gone == 0 then
      local found = 1
      while found < some and waits(found + 1) do found = found + 1 end
      return {unpack(ids, 1, found)}, #ids > found
    end
    redis.call('LPOP', waiting, gone)
    if gone < some then leaving[ids[gone + 1]] = nil end -- it is found once more
  end
  return {}, redis.call('EXISTS', waiting) == 1
end

-- promote releases waiting tasks while there is room, one lane after the other,
-- at most so many, and returns how many. Lanes that must not are parked. What lanes
-- have in common is written once, at the end.
local function promote(most)
  if number('waiting') == 0 then return 0 end
  local turn, at, whole = {}, 1, false -- lanes out of the ring; whole: there are no more in it
  local out, released = {}, 0
  behind, leaving = {}, {}
  for _ = 1, most + 100 do
    if released == most or spare() <= 0 then break end
    if at > #turn and not whole then
      turn, at = redis.call('LPOP', ring, most - released) or {}, 1
      whole = #turn < most - released
      need(turn, 'slots:', 'limit:')
    end
    if at > #turn then turn, at, behind = behind, 1, {} end
    local lane = turn[at]
    if not lane then break end
    at = at + 1
    local ids, more
    if lane == suspects then ids, more = oldest(lane, 1) end
    local why, room = obstacle(lane, ids and ids[1])
    if why then
      park(lane, why)
    else
      -- A lane that is alone need not take turns.
      local alone = whole and at > #turn and #behind == 0
      if not ids then ids, more = oldest(lane, alone and math.min(most - released, spare(), room) or 1) end
      if #ids > 0 then redis.call('LPOP', lanes .. 'waiting:' .. lane, #ids) end
      released = released + #ids
      if lane == suspects then
        for _, id in ipairs(ids) do
          redis.call('ZREM', delayed, id)
          release(id, lane)
        end
      else
        for _, id in ipairs(ids) do
          mark(id, 'pending')
          out[#out + 1] = id
        end
        count(lane, #ids)
      end
      if more then
        queue_up(lane)
      else
        set('waits:' .. lane, 0)
        add('waiting', -1)
      end
    end
    -- Of the site's lanes one is unblocked at a time; it may not have used the room.
    unblock(site_of(lane))
  end
  local front, tail = {'LPUSH', ring}, {'RPUSH', ring, unpack(behind)}
  for i = #turn, at, -1 do front[#front + 1] = turn[i] end
  if #front > 2 then redis.call(unpack(front)) end
  if #tail > 2 then redis.call(unpack(tail)) end
  behind = nil
  if #out > 0 then
    redis.call('ZREM', delayed, unpack(out))
    redis.call('LPUSH', pending, unpack(out))
    hold(out, leaving)
  end
  return released
end
