-- Returns jobs with expired leases to the front of their queues, or fails a job that has lost too many leases. Also deletes jobs whose
-- retention time is over.
--
-- While Redis was down, no worker could renew, so an expired lease does not mean that its worker died. Reap therefore extends all leases
-- by the downtime. It detects a downtime by the time since its last run: callers run it every few seconds, and a gap of more than half a
-- lease duration means that Redis was unavailable. A shorter gap expires no lease, because workers renew at a third of the duration.
--
-- ARGV[2] number of lost leases that fails a job  [3] retention in ms  [4] lease duration in ms
-- Returns for each expired lease: id, model, worker, lost leases, whether the job is a dead letter now.

local most, retention, duration = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expired = {}
local away = now - (redis.call('GET', key('reaped')) or now)
redis.call('SET', key('reaped'), now)
if away > duration / 2 then
  local leased = redis.call('ZRANGE', key('leased'), 0, -1, 'WITHSCORES')
  for i = 1, #leased, 2 do redis.call('ZADD', key('leased'), leased[i + 1] + away, leased[i]) end
end
-- A deadline beyond the duration of a lease was written by a clock that was ahead of this one: the store has moved to another machine.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('leased'), '(' .. string.format('%.0f', now + duration), '+inf')) do
  redis.call('ZADD', key('leased'), now + duration, id)
end
local is_missing = false
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('leased'), '-inf', now, 'LIMIT', 0, 100)) do
  local model, worker, token = get(id, 'model'), get(id, 'worker'), get(id, 'token')
  if not model or not worker or not token then -- evicted by Redis
    redis.call('ZREM', key('leased'), id)
    is_missing = true
  else
    local deaths = redis.call('HINCRBY', job_key(id), 'deaths', 1)
    local dead = deaths >= most
    release(id, model)
    publish_lease_lost(id, token)
    if dead then
      redis.call('ZADD', key('dead'), now, id)
      change_state(id, FAILED, 'deaths', deaths, 'attempt', get(id, 'attempt'), 'worker', worker)
      end_job(id, model, FAILED, true)
    else
      requeue_first(id, model)
    end
    expired[#expired + 1] = { id, model, worker, deaths, dead and 1 or 0 }
  end
end
if is_missing then -- count the running jobs again
  redis.call('DEL', key('running'))
  for _, id in ipairs(redis.call('ZRANGE', key('leased'), 0, -1)) do
    local model = get(id, 'model')
    if model then redis.call('HINCRBY', key('running'), model, 1) end
  end
end

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', key('ended'), '-inf', now - retention, 'LIMIT', 0, 1000)) do
  local id, owner = string.match(entry, '^(%S+) (.*)$')
  delete_job(id, owner)
end
return expired
