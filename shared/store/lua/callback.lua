-- Head of callback_claim.lua, callback_settle.lua and callback_retry.lua. The
-- outbox holds the IDs of finished invocations whose callback is still to be
-- made, by when it is due; a claim moves that to the end of a lease. In the
-- record stand
--
-- callback           URL
-- callback_state     pending, delivered or dead; none is pending
-- callback_attempts  requests so far, all of them claimed; with callback_end the fencing token
-- callback_base      requests before the last retry by hand
-- callback_end       the end, by its time, that all of these are about
-- callback_settled   number and outcome of the request that was settled last
-- callback_error     what the last request met
-- callback_retry     token of the last retry by hand

-- now is Redis's clock in milliseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- keep makes sure that a key that expires is there for so long, ms.
local function keep(key, least)
  local left = redis.call('PTTL', key)
  if left >= 0 and left < tonumber(least) then
    redis.call('PEXPIRE', key, least)
  end
end
