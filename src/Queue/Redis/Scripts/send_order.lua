-- Appends an order to those of a worker, and wakes it. A retry may send the order twice; workers tolerate that.
--
-- ARGV[2] worker  [3] order, serialized  [4] time in ms until the orders to the worker expire
-- Returns 1.

local worker, order, lifetime = ARGV[2], ARGV[3], ARGV[4]
redis.call('RPUSH', key('orders:' .. worker), order)
redis.call('PEXPIRE', key('orders:' .. worker), lifetime)
redis.call('PUBLISH', key('orders'), worker)
return 1
