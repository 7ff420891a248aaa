-- Stores the heartbeat of a worker, and finds which of its models other workers serve too. It does not read their heartbeats: with 100
-- workers and a heartbeat a second each, that would be 10,000 reads a second.
--
-- ARGV[2] worker  [3] heartbeat, serialized  [4] time in ms for which it counts  [5] '1' if the worker is draining, else '0'
--     [6...] the models that it serves
-- Returns those of its models that workers serve which are not draining.

local worker, heartbeat, lifetime, draining = unpack(ARGV, 2, 5)
redis.call('SET', key('worker:' .. worker), heartbeat, 'PX', lifetime)
redis.call('SADD', key('workers'), worker)
local shared = {}
for i = 6, #ARGV do
  local servers = key('servers:' .. ARGV[i])
  redis.call('ZREMRANGEBYSCORE', servers, '-inf', now)
  redis.call('ZREM', servers, worker)
  if redis.call('ZCARD', servers) > 0 then table.insert(shared, ARGV[i]) end
  if draining == '0' then
    redis.call('ZADD', servers, now + lifetime, worker)
    redis.call('PEXPIRE', servers, lifetime)
  end
end
return shared
