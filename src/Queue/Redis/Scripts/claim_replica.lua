-- Claims or renews a worker's right to hold a replica of a model. At most a given number of workers have a claim; if there are more, the
-- least recently used lose theirs. A claim expires after the lifetime of a heartbeat. Memory/ReplicaClaims.cs is the same in C#.
-- The script is idempotent.
--
-- ARGV[2] deployment  [3] worker  [4] maximum number of replicas  [5] time of the last use, in ms  [6] lifetime in ms
-- Returns 1 if the worker has a claim now, else 0.

local name, worker, most, used, lifetime = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local holders, others, holds = key('holders:' .. name), {}, false
local all = redis.call('HGETALL', holders)
for i = 1, #all, 2 do
  local expiry, last = string.match(all[i + 1], '^(%d+) (%d+)$')
  -- an expiry beyond the lifetime was written by a clock that was ahead
  if tonumber(expiry) <= now or tonumber(expiry) > now + lifetime then redis.call('HDEL', holders, all[i])
  elseif all[i] == worker then holds = true
  else others[#others + 1] = { all[i], tonumber(last) } end
end
local before = 0
for _, other in ipairs(others) do
  if not holds or other[2] > used or (other[2] == used and other[1] < worker) then before = before + 1 end
end
if before >= most then
  redis.call('HDEL', holders, worker)
  return 0
end
redis.call('HSET', holders, worker, string.format('%.0f %.0f', now + lifetime, used))
redis.call('PEXPIRE', holders, lifetime * 2)
return 1
