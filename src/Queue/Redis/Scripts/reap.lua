-- Puts expired leases back to the front of their lines, or fails the job when it has lost too many workers; and forgets what
-- ended long ago.
--
-- While Redis was away nobody could renew: a lease that ran out then says nothing of its worker. So the clock of leases stands still
-- when nobody has come here for longer than half a lease; shorter absences no lease runs out in that is renewed at thirds.
--
-- ARGV[2] deaths that end a job  [3] retention in ms  [4] lease in ms
-- Returns per expired lease: id, model, worker, deaths, whether the job is a dead letter now.

local most, retention, duration = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expired = {}
local away = now - (redis.call('GET', key('reaped')) or now)
redis.call('SET', key('reaped'), now)
if away > duration / 2 then
  local leased = redis.call('ZRANGE', key('leased'), 0, -1, 'WITHSCORES')
  for i = 1, #leased, 2 do redis.call('ZADD', key('leased'), leased[i + 1] + away, leased[i]) end
end
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
