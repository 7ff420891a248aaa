-- What a worker was told since it last asked. Taken orders stay under another name until the next time, so that a second try finds
-- them again.
--
-- ARGV[2] worker
-- Returns the orders, serialized, in order.

local told, taken = key('orders:' .. ARGV[2]), key('taken:' .. ARGV[2])
if again and redis.call('EXISTS', taken) == 1 then return redis.call('LRANGE', taken, 0, -1) end
redis.call('DEL', taken)
if redis.call('EXISTS', told) == 0 then return {} end
redis.call('RENAME', told, taken)
redis.call('PEXPIRE', taken, 60000)
return redis.call('LRANGE', taken, 0, -1)
