-- Head of scripts that tell the time.

-- clock is the time of Redis as TIME answers, which is asked once: all of a
-- script happens at one moment.
local time
local function clock()
  time = time or redis.call('TIME')
  return time
end

-- millis is that time in ms, as text: Redis takes long to print a number.
local function millis()
  local t = clock()
  return t[1] .. string.sub('00000' .. t[2], -6, -4)
end

