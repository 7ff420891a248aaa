-- Puts expired leases back to the front of their lines, or fails the job when it has lost too many workers; and forgets what
-- ended long ago.
--
-- ARGV[2] deaths that end a job  [3] retention in ms
-- Returns per expired lease: id, model, worker, deaths, whether the job is a dead letter now.

local most, retention = tonumber(ARGV[2]), tonumber(ARGV[3])
local expired = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('leased'), '-inf', now, 'LIMIT', 0, 100)) do
  local model, worker, token = get(id, 'model'), get(id, 'worker'), get(id, 'token')
  local deaths = redis.call('HINCRBY', job_key(id), 'deaths', 1)
  local dead = deaths >= most
  release(id, model)
  tell_lost(id, token)
  if dead then
    redis.call('ZADD', key('dead'), now, id)
    change_state(id, FAILED, 'deaths', deaths, 'attempt', get(id, 'attempt'), 'worker', worker)
    ended(id, model, FAILED, true)
  else
    to_front(id, model)
  end
  expired[#expired + 1] = { id, model, worker, deaths, dead and 1 or 0 }
end

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', key('ended'), '-inf', now - retention, 'LIMIT', 0, 1000)) do
  local id, owner = string.match(entry, '^(%S+) (.*)$')
  redis.call('DEL', job_key(id), key('events:' .. id), key('replies:' .. id))
  redis.call('ZREM', key('jobs:' .. owner), id)
  redis.call('ZREM', key('dead'), id)
  redis.call('ZREM', key('ended'), entry)
end
return expired
