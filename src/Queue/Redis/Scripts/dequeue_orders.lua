-- Returns and removes the orders to a worker. The orders are kept under another key until the next call, so that a retry returns them
-- again.
--
-- ARGV[2] worker
-- Returns the serialized orders, in the order in which they were sent.

local told, taken = key('orders:' .. ARGV[2]), key('taken:' .. ARGV[2])
if again and redis.call('EXISTS', taken) == 1 then return redis.call('LRANGE', taken, 0, -1) end
redis.call('DEL', taken)
if redis.call('EXISTS', told) == 0 then return {} end
redis.call('RENAME', told, taken)
redis.call('PEXPIRE', taken, 60000)
return redis.call('LRANGE', taken, 0, -1)
