-- Tail of the steps whose head is create_head.lua.
for _, command in pairs(arrivals) do redis.call(unpack(command)) end
